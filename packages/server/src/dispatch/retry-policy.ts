import { backoffMs, type Random } from '@forebay/broker'
import type { RetryOptions } from '../options.ts'

export interface RetryQuestion {
  /** Attempts that have failed, this one included. */
  readonly attempts: number
  /** Since the first attempt began. ms */
  readonly elapsedMs: number
  /** What is left of the task's time. ms */
  readonly budgetLeftMs: number
  /** The worker's or target's own word. ms */
  readonly retryAfterMs: number | undefined
}

/**
 * When the next attempt may start, in ms from now; null when there is none: attempts or time are used up.
 *
 * Exponential backoff with full jitter (evenly between 0 and the step), so that tasks that failed together do not come
 * back together; without jitter the step itself. Where the other side said how long to stay away, that is the least,
 * and the backoff comes on top.
 */
export function nextAttemptInMs(policy: RetryOptions, question: RetryQuestion, random: Random): number | null {
  if (question.attempts >= policy.attemptsMax) return null
  const backoff = { firstMs: policy.backoffMs, maxMs: policy.backoffMaxMs }
  const chance = policy.jitter === 'full' ? random : WHOLE_STEP
  const delayMs = Math.round((question.retryAfterMs ?? 0) + backoffMs(backoff, question.attempts - 1, chance))
  if (question.elapsedMs + delayMs > policy.withinMs) return null
  if (delayMs >= question.budgetLeftMs) return null
  return delayMs
}

const WHOLE_STEP: Pick<Random, 'unit'> = { unit: () => 1 }
