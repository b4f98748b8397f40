import type { ParkReason } from '../store/parking.ts'
import type { Entry } from './entry.ts'
import type { PartitionParking, ToPark } from './partition-parking.ts'
import type { RedeliveryGuard } from './redelivery-guard.ts'

/**
 * The keys of one partition whose line in the store is not all in hand. A task of such a key goes behind it into the
 * store, whatever waits in front of it; so memory holds one entry a key, however long its line is.
 *
 * The life of a line: its head fails and parks with all that waits behind it in the window → what comes from the log
 * goes behind → the head is due, is taken and runs in the window → when it is done the next hundred are taken, and so
 * on → what is left is less than was asked for: all of it is in hand, and the key runs from the log again, behind what
 * is in hand. Arrivals of the moment between asking and hearing are held, so that they need not go through the store.
 */
export class ParkedLines {
  readonly store: PartitionParking
  readonly guard: RedeliveryGuard
  readonly #lines = new Map<string, ParkedLine>()
  readonly #behind: ToPark[] = []

  constructor(store: PartitionParking, guard: RedeliveryGuard) {
    this.store = store
    this.guard = guard
  }

  /** Keys that are parked. */
  get size(): number {
    return this.#lines.size
  }

  has(key: string): boolean {
    return this.#lines.has(key)
  }

  /** These have rows in the store; at the start, and when the partition had to be owned once more. */
  found(keys: readonly string[]): void {
    for (const key of keys)
      if (!this.#lines.has(key)) this.#lines.set(key, { held: null, asking: false, changes: 0, changesAsked: 0 })
  }

  /** From the log. True when its key is parked: it is taken care of. Call `flush` when all of a batch have come. */
  arrived(entry: Entry): boolean {
    const { key } = entry.task
    const line = key === null ? undefined : this.#lines.get(key)
    if (line === undefined) return false
    if (line.held === null) this.#putBehind(entry, key!)
    else line.held.push(entry)
    return true
  }

  flush(): void {
    if (this.#behind.length > 0) this.store.park(this.#behind.splice(0))
  }

  /** The head of a line, and what of its key waits behind it in the window. */
  parkLine(head: Entry, behind: readonly Entry[], reason: ParkReason, dueMs: number | null): void {
    const key = head.task.key!
    const line = this.#changed(key)
    this.#behind.push({ entry: head, line: key, reason, dueMs })
    for (const entry of behind) this.#putBehind(entry, key)
    if (line.held !== null) this.#putHeldBehind(key, line)
    this.flush()
  }

  parkAlone(entry: Entry, reason: ParkReason, dueMs: number | null): void {
    this.#behind.push({ entry, line: null, reason, dueMs })
  }

  /**
   * None of the key runs any more: what comes from now on is held until the store has said what is left of the line.
   * False when the key is not parked, or the question is out already.
   */
  beginAsking(key: string): boolean {
    const line = this.#lines.get(key)
    if (line === undefined) return false
    line.held ??= []
    if (line.asking) return false
    line.asking = true
    line.changesAsked = line.changes
    return true
  }

  /**
   * True when what the store answered may enter the window. Else rows of the line were given back, parked anew or held
   * since it was asked: they may belong before those of the answer.
   */
  mayEnter(key: string): boolean {
    const line = this.#lines.get(key)
    return line !== undefined && line.held !== null && line.changes === line.changesAsked
  }

  /** Taken too early: these wait again. */
  giveBack(key: string, entries: readonly Entry[]): void {
    this.#changed(key)
    for (const entry of entries) this.#putBehind(entry, key)
    this.flush()
  }

  /** Taken too early after a change of hands: these, and the line, wait until they are safe. */
  hold(key: string, entries: readonly Entry[]): void {
    this.#changed(key)
    this.guard.hold(key, entries)
  }

  /**
   * The store's answer has been entered into the window. `whole`: it was all there is. Returns who may enter the window
   * behind it.
   */
  endAsking(key: string, whole: boolean): readonly Entry[] {
    const line = this.#lines.get(key)
    if (line === undefined) return []
    line.asking = false
    if (whole && line.held !== null) {
      this.#lines.delete(key)
      return line.held
    }
    this.#putHeldBehind(key, line)
    this.flush()
    return []
  }

  drop(): void {
    this.guard.drop()
    this.#lines.clear()
    this.#behind.length = 0
  }

  #changed(key: string): ParkedLine {
    this.found([key])
    const line = this.#lines.get(key)!
    line.changes++
    return line
  }

  #putBehind(entry: Entry, key: string): void {
    this.#behind.push({ entry, line: key, reason: 'behind', dueMs: AT_ONCE })
  }

  #putHeldBehind(key: string, line: ParkedLine): void {
    for (const entry of line.held ?? []) this.#putBehind(entry, key)
    line.held = null
  }
}

interface ParkedLine {
  /** What came while the store was asked for the rest of the line; null when it is not being asked. */
  held: Entry[] | null
  asking: boolean
  /** Counts what has happened to its rows; and the count when the store was asked. */
  changes: number
  changesAsked: number
}

/** Time hands out the head of a line only; whoever finds none before it, for whatever reason, must not wait for ever. */
const AT_ONCE = 0
