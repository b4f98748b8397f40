import type { Attempt, Outcome } from '../task.ts'

/**
 * Where the attempts of one queue go: workers that dialled in, a gRPC method or an HTTP endpoint that we dial.
 *
 * The dispatcher hands over at most `capacity` attempts and asks again when told that it has grown.
 */
export interface Target {
  /** How many attempts more it takes right now; Infinity where only the queue's own concurrency limits. */
  readonly capacity: number
  /** Set by the dispatcher, once; called (perhaps too often, never too rarely) when `capacity` may have grown. */
  onCapacity: () => void
  /**
   * Hands the task over. Always resolves, never rejects: within `attempt.timeoutMs` plus a second at the latest with
   * 'timed-out', with 'worker-lost' when whoever ran it went away, at once with a retryable 'failed' when nobody is
   * there to take it. After `attempt.lost` aborts it may resolve with anything.
   */
  run(attempt: Attempt): Promise<Outcome>
  /** Nobody wants the outcome any more: calls off whoever works on it, and its `run` resolves as 'cancelled'. */
  cancel(attempt: Attempt): void
  /** Takes nothing new, waits for what runs until `signal` aborts, then ends it as 'worker-lost'. */
  stop(signal: AbortSignal): Promise<void>
}
