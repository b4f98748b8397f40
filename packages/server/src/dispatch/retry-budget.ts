import type { Clock } from '@forebay/broker'
import { SlidingCount } from './sliding-count.ts'

/**
 * Keeps the extra load of retries small while a dependency fails: whenever a retry is let through, the retries of the
 * `BUDGET_WINDOW_MS` up to it are at most `ratio` times the first attempts of the same time, and `RETRIES_FREE`.
 * A retry that did not fail gives its place back: it was no load on something that fails, and after an outage what has
 * gathered would else trickle. A refused retry is not lost: it waits, and asks again.
 */
export class RetryBudget {
  readonly #ratio: number | null
  readonly #firsts: SlidingCount
  readonly #retries: SlidingCount

  /** A ratio of null lets every retry through. */
  constructor(ratio: number | null, clock: Clock) {
    this.#ratio = ratio
    // Of first attempts at most the window is counted, of retries at least the window: the bound errs on its safe side.
    this.#firsts = new SlidingCount(clock, BUCKET_MS, BUDGET_WINDOW_MS / BUCKET_MS)
    this.#retries = new SlidingCount(clock, BUCKET_MS, BUDGET_WINDOW_MS / BUCKET_MS + 1)
  }

  firstAttempt(): void {
    if (this.#ratio !== null) this.#firsts.add()
  }

  /** True when a retry may begin; it then counts as begun. */
  tryRetry(): boolean {
    if (this.#ratio === null) return true
    if (this.#retries.total + 1 > this.#firsts.total * this.#ratio + RETRIES_FREE) return false
    this.#retries.add()
    return true
  }

  /** A retry that was let through did not fail for the target's fault. */
  giveBack(): void {
    if (this.#ratio !== null) this.#retries.takeBack()
  }
}

export const BUDGET_WINDOW_MS = 10_000
export const RETRIES_FREE = 10
const BUCKET_MS = 1_000
