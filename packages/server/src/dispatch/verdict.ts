import type { Random } from '@forebay/broker'
import type { QueueOptions } from '../options.ts'
import type { Fault, Outcome } from '../task.ts'
import { nextAttemptInMs } from './retry-policy.ts'

/** What becomes of a task whose attempt has not succeeded. */
export type Verdict =
  | { readonly kind: 'end'; readonly state: 'failed' | 'dead'; readonly fault: Fault }
  | { readonly kind: 'expire' }
  | { readonly kind: 'retry'; readonly inMs: number; readonly fault: Fault }
  /** No further attempt by itself. */
  | { readonly kind: 'exhausted'; readonly fault: Fault }

export interface VerdictQuestion {
  /** Attempts that have failed, this one included. */
  readonly attempts: number
  /** Workers lost under the task, this one included. */
  readonly losses: number
  readonly elapsedMs: number
  readonly budgetLeftMs: number
}

export function verdictOn(
  outcome: Failure,
  queue: Pick<QueueOptions, 'retry' | 'timeoutMs'>,
  question: VerdictQuestion,
  random: Random,
): Verdict {
  const fault = faultOf(outcome, queue.timeoutMs)
  if (outcome.kind === 'failed' && outcome.then !== 'retry') {
    return { kind: 'end', state: outcome.then === 'final' ? 'failed' : 'dead', fault }
  }
  if (outcome.kind === 'worker-lost' && question.losses >= LOSSES_MAX) {
    const detail = `${question.losses} workers were lost while they ran this task; the last time: ${fault.detail}`
    return { kind: 'end', state: 'dead', fault: { code: 'WORKER_KILLER', detail: cut(detail) } }
  }
  const { retry } = queue
  if (retry.on !== null && !retry.on.has(fault.code)) return { kind: 'end', state: 'failed', fault }
  if (question.budgetLeftMs <= 0) return { kind: 'expire' }
  const retryAfterMs = outcome.kind === 'failed' ? outcome.retryAfterMs : undefined
  const inMs = nextAttemptInMs(retry, { ...question, retryAfterMs }, random)
  return inMs === null ? { kind: 'exhausted', fault } : { kind: 'retry', inMs, fault }
}

export type Failure = Exclude<Outcome, { kind: 'succeeded' }>

/** A task under which so many workers were lost is taken for the cause, whatever attempts are left. */
export const LOSSES_MAX = 3

const FAULT_DETAIL_CHARS_MAX = 2_048

function faultOf(outcome: Failure, timeoutMs: number): Fault {
  switch (outcome.kind) {
    case 'failed':
      return { code: outcome.code, detail: cut(outcome.message) }
    case 'timed-out':
      return {
        code: 'ATTEMPT_TIMED_OUT',
        detail: `The attempt took longer than ${timeoutMs} ms (timeout of the queue).`,
      }
    case 'cancelled':
      return { code: 'TASK_CANCELLED', detail: 'The task was cancelled.' }
    case 'worker-lost':
      return { code: 'WORKER_LOST', detail: cut(outcome.message) }
  }
}

function cut(text: string): string {
  return text.slice(0, FAULT_DETAIL_CHARS_MAX)
}
