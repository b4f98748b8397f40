import type { Clock, Delivery } from '@forebay/broker'
import type { Task } from '../task.ts'
import type { Entry, Wait } from './entry.ts'
import { Fifo } from './fifo.ts'
import type { ParkedLines } from './parked-lines.ts'
import { WINDOW_BYTES_MAX, WINDOW_RECORDS_MAX } from './window-limits.ts'

/**
 * The unfinished tasks of one partition under one assignment, and the lines of its keys: of one key at most `width`
 * run. With `order: key` the width is 1, and who runs is the earliest unfinished one, through all its retries, until
 * its result is durable (P4).
 */
export class PartitionWindow {
  readonly partition: number
  readonly lost: AbortSignal
  /** What of this partition is parked; null where nothing can be. */
  parked: ParkedLines | null = null
  /** What was delivered before it was known what is parked; null from then on. */
  early: Delivery[] | null = null
  /** Delivered and not settled. */
  unfinished = 0
  unfinishedBytes = 0
  /** The latest one delivered. */
  lastOffset = -1
  /** Entries that wait for their time; their timers end with the assignment. */
  readonly waiting = new Set<Entry>()
  readonly #width: number
  readonly #lines = new Map<string, KeyLine>()

  /** A width of null: a key bounds nothing. */
  constructor(partition: number, lost: AbortSignal, width: number | null) {
    this.partition = partition
    this.lost = lost
    this.#width = width ?? Number.POSITIVE_INFINITY
  }

  delivered(entry: Entry): void {
    this.unfinished++
    this.unfinishedBytes += entry.task.payload.length
    this.lastOffset = entry.record.offset
  }

  /**
   * The log need not keep it any more. After a crash those before it in the line of its key must not run again where it
   * does not (P4): so what of them is parked and done is removed first.
   */
  settle(delivery: Delivery, { key, payload }: Task): void {
    const removals = this.parked?.store.removals
    if (removals === undefined || key === null || removals.allWritten) this.#settleNow(delivery, payload.length)
    else removals.afterwards(() => this.#settleNow(delivery, payload.length))
  }

  /** The log delivers no more until something is settled. */
  get isFull(): boolean {
    return this.unfinished >= WINDOW_RECORDS_MAX || this.unfinishedBytes > WINDOW_BYTES_MAX * 0.9
  }

  /** True when the entry may run now; otherwise it stands in its key's line. */
  enter(entry: Entry): boolean {
    const { key } = entry.task
    if (key === null || this.#width === Number.POSITIVE_INFINITY) return true
    const line = this.#lines.get(key)
    if (line === undefined) this.#lines.set(key, { active: 1, behind: null })
    else if (line.active < this.#width) line.active++
    else {
      line.behind ??= new Fifo()
      line.behind.push(entry)
      return false
    }
    entry.placed = true
    return true
  }

  /** One that was let in is gone, or waits outside of the line; returns the next of its key, which may run now. */
  leave(entry: Entry): Entry | undefined {
    if (!entry.placed) return undefined
    entry.placed = false
    const key = entry.task.key!
    const line = this.#lines.get(key)!
    const next = line.behind?.shift()
    if (next !== undefined) next.placed = true
    else if (--line.active === 0) this.#lines.delete(key)
    return next
  }

  /** The only one of its key that was let in is gone, and so are all behind it: returns those. For a width of 1. */
  leaveWithLine(entry: Entry): readonly Entry[] {
    if (!entry.placed) return []
    entry.placed = false
    const key = entry.task.key!
    const { behind } = this.#lines.get(key)!
    this.#lines.delete(key)
    return behind?.takeWhere(() => true) ?? []
  }

  /** True while one of the key was let in. */
  has(key: string): boolean {
    return this.#lines.has(key)
  }

  /** The entry waits for `delayMs`, in its place in the line of its key if it has one. */
  wait(
    entry: Entry,
    why: Wait['why'],
    delayMs: number,
    clock: Clock,
    then: (entry: Entry) => void,
    ended: Wait['ended'] = null,
  ): void {
    const timer = clock.timer(delayMs, () => {
      this.endWait(entry)
      then(entry)
    })
    entry.wait = { why, untilMs: clock.monotonicMs() + delayMs, timer, ended }
    this.waiting.add(entry)
  }

  endWait(entry: Entry): void {
    const { wait } = entry
    wait?.timer.cancel()
    wait?.ended?.()
    entry.wait = null
    this.waiting.delete(entry)
  }

  drop(): void {
    for (const entry of this.waiting) entry.wait?.timer.cancel()
    this.waiting.clear()
    this.#lines.clear()
    this.unfinished = 0
    this.unfinishedBytes = 0
    this.parked?.drop()
  }

  #settleNow(delivery: Delivery, payloadBytes: number): void {
    delivery.settle()
    this.unfinished--
    this.unfinishedBytes -= payloadBytes
  }
}

interface KeyLine {
  /** Those that may run. */
  active: number
  /** In log order; most keys never need it. */
  behind: Fifo<Entry> | null
}
