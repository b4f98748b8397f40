import type { ParkReason } from '../store/parking.ts'
import type { Entry } from './entry.ts'
import type { PartitionParking, ToPark } from './partition-parking.ts'

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
  readonly #lines = new Map<string, ParkedLine>()
  readonly #behind: ToPark[] = []

  constructor(store: PartitionParking) {
    this.store = store
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
      if (!this.#lines.has(key)) this.#lines.set(key, { held: null, asking: false, headMayBeGone: false })
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
    const line = this.#lines.get(key) ?? { held: null, asking: false, headMayBeGone: false }
    this.#lines.set(key, line)
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
    const first = !line.asking
    line.asking = true
    return first
  }

  /** True when what the store answered may enter the window; else the line has parked anew, and it belongs behind. */
  mayEnter(key: string): boolean {
    return (this.#lines.get(key)?.held ?? null) !== null
  }

  /** Taken in vain: these wait again. */
  giveBack(key: string, entries: readonly Entry[]): void {
    for (const entry of entries) this.#putBehind(entry, key)
    this.flush()
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

  /** Rows of some lines were dropped, the last one of a line perhaps. */
  rowsDropped(): void {
    for (const line of this.#lines.values()) line.headMayBeGone = true
  }

  drop(): void {
    this.#lines.clear()
    this.#behind.length = 0
  }

  #putBehind(entry: Entry, key: string): void {
    const dueMs = this.#lines.get(key)?.headMayBeGone ? 0 : null
    this.#behind.push({ entry, line: key, reason: 'behind', dueMs })
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
  /** Nothing may be left that wakes who comes behind: it comes with a time of its own. */
  headMayBeGone: boolean
}
