import type { Delivery, Timer } from '@forebay/broker'
import type { Task } from '../task.ts'

/** A task between its delivery and its settlement. */
export interface Entry {
  readonly delivery: Delivery
  readonly task: Task
  readonly window: PartitionWindow
  /** Attempts begun. */
  attempts: number
  /** Monotonic ms of the first attempt's begin. */
  firstBegunMs: number
  /** Monotonic ms of the latest attempt's begin. */
  begunMs: number
  /** A 'running' note of the latest attempt is out. */
  noted: boolean
  /** The backoff before the next attempt. */
  backoff: Timer | null
}

/**
 * The unfinished tasks of one partition under one assignment. With `order: key` a task is ready only when no earlier
 * unfinished task of its key is in the window (P4): each key has a line, and only its head may run, through all its
 * retries, until its result is durable.
 */
export class PartitionWindow {
  readonly lost: AbortSignal
  /** Entries that wait for a retry; their timers end with the assignment. */
  readonly waiting = new Set<Entry>()
  readonly #ordered: boolean
  readonly #lines = new Map<string, Entry[]>()
  unfinished = 0

  constructor(lost: AbortSignal, ordered: boolean) {
    this.lost = lost
    this.#ordered = ordered
  }

  /** True when the entry may run now; otherwise it stands in its key's line. */
  enter(entry: Entry): boolean {
    this.unfinished++
    const { key } = entry.task
    if (!this.#ordered || key === null) return true
    const line = this.#lines.get(key)
    if (line === undefined) {
      this.#lines.set(key, [entry])
      return true
    }
    line.push(entry)
    return false
  }

  /** The entry is settled; returns the next of its key, which may run now. */
  leave(entry: Entry): Entry | undefined {
    this.unfinished--
    const { key } = entry.task
    if (!this.#ordered || key === null) return undefined
    const line = this.#lines.get(key)
    if (line === undefined) return undefined
    line.shift()
    if (line.length > 0) return line[0]
    this.#lines.delete(key)
    return undefined
  }

  drop(): void {
    for (const entry of this.waiting) entry.backoff?.cancel()
    this.waiting.clear()
    this.#lines.clear()
    this.unfinished = 0
  }
}
