import type { EndState } from '../../task.ts'
import type { CallbackAttempt, CallbackState, CallbackToRegister, CallbackView, DueCallback } from '../callbacks.ts'

export interface CallbackColumns {
  readonly seq: number
  readonly id: string
  readonly task_id: string
  readonly owner: string
  readonly queue: string
  readonly url: string
  readonly host: string
  readonly keep_until_ms: number
  readonly state: CallbackState
  readonly generation: number | null
  readonly task_state: EndState | null
  readonly tries: number
  readonly due_since_ms: number
  readonly wake_at_ms: number
  readonly taker: string | null
  readonly changed_at_ms: number
  readonly attempts: string
}

export function dueCallback(row: CallbackColumns): DueCallback {
  return { ...registered(row), tries: row.tries, dueSinceMs: row.due_since_ms, generation: row.generation! }
}

export function callbackView(row: CallbackColumns): CallbackView {
  return {
    ...registered(row),
    state: row.state,
    tries: row.tries,
    nextAtMs: row.state === 'due' ? row.wake_at_ms : null,
    changedAtMs: row.changed_at_ms,
    taskState: row.task_state,
    attempts: JSON.parse(row.attempts) as readonly CallbackAttempt[],
  }
}

function registered(row: CallbackColumns): CallbackToRegister {
  const { id, task_id: taskId, owner, queue, url, host, keep_until_ms: keepUntilMs } = row
  return { id, taskId, owner, queue, url, host, keepUntilMs }
}
