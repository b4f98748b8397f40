import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { CALLBACKS_LISTED_DEFAULT, CALLBACKS_LISTED_MAX, type CallbackFilter, type CallbackView } from '../callbacks.ts'
import { type CallbackColumns, callbackView } from './callback-columns.ts'

/** Reads callbacks. */
export class CallbackLookups {
  readonly #database: DatabaseSync
  readonly #next: StatementSync

  constructor(database: DatabaseSync) {
    this.#database = database
    this.#next = database.prepare(
      `SELECT wake_at_ms FROM callbacks WHERE state = 'due' AND (taker IS NULL OR wake_at_ms <= ?)
       ORDER BY wake_at_ms LIMIT 1`,
    )
  }

  nextDueMs(nowMs: number): number | null {
    return (this.#next.get(nowMs)?.wake_at_ms as number | undefined) ?? null
  }

  list(filter: CallbackFilter): readonly CallbackView[] {
    const { sql, values } = conditionsOf(filter)
    const rows = this.#database
      .prepare(`SELECT * FROM callbacks WHERE ${sql} ORDER BY seq DESC LIMIT ?`)
      .all(...values, limitOf(filter))
    return (rows as unknown as readonly CallbackColumns[]).map(callbackView)
  }
}

/** For a WHERE; what the filter does not name is not looked at, so that an index of the rest is of use. */
export function conditionsOf(filter: CallbackFilter): { readonly sql: string; readonly values: (string | number)[] } {
  const conditions = ['1']
  const values: (string | number)[] = []
  const given: readonly (readonly [string, string | number | undefined])[] = [
    ['task_id = ?', filter.taskId],
    ['id = ?', filter.id],
    ['owner = ?', filter.owner],
    ['queue = ?', filter.queue],
    ['url = ?', filter.url],
    ['state = ?', filter.state],
    ['changed_at_ms >= ?', filter.sinceMs],
  ]
  for (const [condition, value] of given) {
    if (value === undefined) continue
    conditions.push(condition)
    values.push(value)
  }
  return { sql: conditions.join(' AND '), values }
}

export function limitOf({ countMax = CALLBACKS_LISTED_DEFAULT }: CallbackFilter): number {
  return Math.min(Math.max(0, Math.trunc(countMax)), CALLBACKS_LISTED_MAX)
}
