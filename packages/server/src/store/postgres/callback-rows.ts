import { type EndState, isEndState } from '../../task.ts'
import {
  CALLBACKS_LISTED_DEFAULT,
  CALLBACKS_LISTED_MAX,
  type CallbackAttempt,
  type CallbackFilter,
  type CallbackState,
  type CallbackToRegister,
  type CallbackView,
  type DueCallback,
} from '../callbacks.ts'
import { text } from './columns.ts'

/** A row of `callbacks`. */
export interface CallbackColumns {
  readonly id: string
  readonly task_id: string
  readonly owner: string
  readonly queue: string
  readonly url: string
  readonly host: string
  readonly keep_until_ms: number
  readonly state: CallbackState
  readonly tries: number
  readonly next_at_ms: number | null
  readonly due_since_ms: number | null
  readonly generation: number | null
  readonly task_state: string | null
  readonly changed_at_ms: number
  readonly attempts: readonly CallbackAttempt[]
}

export function dueCallback(row: CallbackColumns): DueCallback {
  return { ...registered(row), tries: row.tries, dueSinceMs: row.due_since_ms!, generation: row.generation! }
}

export function callbackView(row: CallbackColumns): CallbackView {
  const { state, tries, next_at_ms: nextAtMs, changed_at_ms: changedAtMs, attempts } = row
  return { ...registered(row), state, tries, nextAtMs, changedAtMs, taskState: endState(row.task_state), attempts }
}

/** JSON; PostgreSQL's holds neither NUL nor half a character. */
export function attemptColumn({ atMs, durationMs, status, detail }: CallbackAttempt): string {
  const whole = detail === null ? null : text(detail).toWellFormed()
  return JSON.stringify({ atMs, durationMs, status, detail: whole })
}

/** A condition on a row of `callbacks`, with its values from $1 on. */
export function conditionsOf(filter: CallbackFilter): {
  readonly conditions: string
  readonly values: readonly unknown[]
  readonly countMax: number
} {
  const values: unknown[] = []
  const place = (value: string | number) => `$${values.push(typeof value === 'string' ? text(value) : value)}`
  const conditions = Object.entries(CONDITIONS).flatMap(([field, condition]) => {
    const value = filter[field as keyof typeof CONDITIONS]
    return value === undefined ? [] : [condition(place(value))]
  })
  const countMax = Math.min(Math.floor(filter.countMax ?? CALLBACKS_LISTED_DEFAULT), CALLBACKS_LISTED_MAX)
  return { conditions: conditions.join(' AND ') || 'true', values, countMax }
}

const CONDITIONS = {
  id: (value: string) => `id = ${value}`,
  taskId: (value: string) => `task_id = ${value}`,
  owner: (value: string) => `owner = ${value}`,
  queue: (value: string) => `queue = ${value}`,
  url: (value: string) => `url = ${value}`,
  state: (value: string) => `state = ${value}`,
  sinceMs: (value: string) => `changed_at_ms >= ${value}`,
} as const

function registered(row: CallbackColumns): CallbackToRegister {
  const { id, task_id: taskId, owner, queue, url, host, keep_until_ms: keepUntilMs } = row
  return { id, taskId, owner, queue, url, host, keepUntilMs }
}

function endState(state: string | null): EndState | null {
  return state !== null && isEndState(state) ? state : null
}
