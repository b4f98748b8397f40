import type { ParkReason, TakenRow } from '../store/parking.ts'
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
  /** Keys of which something is held. */
  readonly #holding = new Set<string>()
  #deliveredBelow = 0
  #changes = 0

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
    for (const key of keys) if (!this.#lines.has(key)) this.#lines.set(key, { held: null, asking: null, changedAt: 0 })
  }

  /** From the log. True when its key is parked: it is taken care of. Call `flush` when all of a batch have come. */
  arrived(entry: Entry): boolean {
    const { key } = entry.task
    const line = key === null ? undefined : this.#lines.get(key)
    if (line === undefined) return false
    if (line.held === null) this.#putBehind(entry, key!)
    else {
      line.held.push(entry)
      this.#holding.add(key!)
    }
    return true
  }

  /** All of a batch have arrived: what lies below is safe when those that belong into the store are there. */
  delivered(below: number): void {
    this.flush()
    this.#deliveredBelow = below
    this.guard.heard()
    this.#raiseGuard()
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
    for (const entry of line.held ?? []) this.#putBehind(entry, key)
    line.held = null
    this.flush()
    if (this.#holding.delete(key)) this.#raiseGuard()
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
    if (line.asking !== null) return false
    line.asking = this.asOfNow()
    return true
  }

  /** For a question to the store: its answer is judged by how things stood when it was asked. */
  asOfNow(): AsOf {
    return { safeBelow: this.guard.safeBelow, changes: this.#changes }
  }

  /**
   * How much of an answer may enter the window, from the head of the line on. Nothing where rows of the line were given
   * back, parked or held since: they may belong before it. And nothing that is not safe yet.
   */
  countToEnter(key: string, rows: readonly TakenRow[], asOf: AsOf): number {
    if (this.changedSince(key, asOf)) return 0
    const unsafe = rows.findIndex(({ record }) => record.offset >= asOf.safeBelow)
    return unsafe === -1 ? rows.length : unsafe
  }

  changedSince(key: string, { changes }: AsOf): boolean {
    return (this.#lines.get(key)?.changedAt ?? 0) > changes
  }

  /** How things stood when the line was asked for. */
  askedAsOf(key: string): AsOf {
    return this.#lines.get(key)?.asking ?? NEVER
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
    line.asking = null
    const held = line.held ?? []
    line.held = null
    if (whole) this.#lines.delete(key)
    else for (const entry of held) this.#putBehind(entry, key)
    this.flush()
    if (this.#holding.delete(key)) this.#raiseGuard()
    return whole ? held : []
  }

  drop(): void {
    this.guard.drop()
    this.#lines.clear()
    this.#holding.clear()
    this.#behind.length = 0
  }

  #changed(key: string): ParkedLine {
    this.found([key])
    const line = this.#lines.get(key)!
    line.changedAt = ++this.#changes
    return line
  }

  #putBehind(entry: Entry, key: string): void {
    this.#behind.push({ entry, line: key, reason: 'behind', dueMs: AT_ONCE })
  }

  /** What is held may have to go before what is in the store. */
  #raiseGuard(): void {
    let below = this.#deliveredBelow
    for (const key of this.#holding) below = Math.min(below, this.#lines.get(key)!.held![0]!.record.offset)
    this.store.parks.afterwards(() => this.guard.raise(below))
  }
}

interface ParkedLine {
  /** What came while the store was asked for the rest of the line; null when it is not being asked. */
  held: Entry[] | null
  /** Set while the store is being asked for the rest of the line. */
  asking: AsOf | null
  /** Count of changes when something last happened to its rows. */
  changedAt: number
}

export interface AsOf {
  /** See `RedeliveryGuard`. */
  readonly safeBelow: number
  /** Of lines of the partition. */
  readonly changes: number
}

const NEVER: AsOf = { safeBelow: 0, changes: -1 }

/** Time hands out the head of a line only; whoever finds none before it, for whatever reason, must not wait for ever. */
const AT_ONCE = 0
