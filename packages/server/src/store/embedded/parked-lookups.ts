import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { foundRows, type ParkedColumns, ROW_COLUMNS, rowOf, type SummaryColumns } from './parked-columns.ts'
import type { FoundRows, ParkedAnswer, ParkedQuery } from './parking-calls.ts'

/** What operators and schedules ask about parked tasks. */
export class ParkedLookups {
  readonly #database: DatabaseSync
  readonly #find: StatementSync
  readonly #fired: StatementSync

  constructor(database: DatabaseSync) {
    this.#database = database
    this.#find = database.prepare(
      `SELECT ${ROW_COLUMNS}, record FROM parked JOIN parked_records USING (id)
       WHERE task_id = ? AND queue = ? ORDER BY parked.id LIMIT 1`,
    )
    this.#fired = database.prepare('SELECT fired_at_ms FROM schedules WHERE queue = ? AND schedule = ?')
  }

  find(queue: string, taskId: string): FoundRows {
    return foundRows(this.#find.all(taskId, queue) as unknown as readonly ParkedColumns[])
  }

  list({ queue, key, reason, beforeId, limit }: ParkedQuery): ParkedAnswer {
    const filters: [string, string][] = []
    if (queue !== null) filters.push(['queue = ?', queue])
    if (key !== null) filters.push(['line = ?', key])
    if (reason !== null) filters.push(['reason = ?', reason])
    const where = ['id < ?', ...filters.map(([sql]) => sql)].join(' AND ')
    const values = filters.map(([, value]) => value)
    const rows = this.#database
      .prepare(`SELECT ${ROW_COLUMNS} FROM parked WHERE ${where} ORDER BY id DESC LIMIT ?`)
      .all(beforeId, ...values, limit + 1) as unknown as readonly SummaryColumns[]
    const every = filters.length === 0 ? '' : `WHERE ${filters.map(([sql]) => sql).join(' AND ')}`
    const total = this.#database.prepare(`SELECT count(*) AS total FROM parked ${every}`).get(...values)
    const page = rows.slice(0, limit)
    return {
      rows: page.map((row) => ({ ...rowOf(row), offset: row.log_offset, bytes: row.bytes })),
      lastId: rows.length > limit ? page.at(-1)!.id : null,
      total: total?.total as number,
    }
  }

  lastFired(queue: string, schedule: string): number | null {
    return (this.#fired.get(queue, schedule)?.fired_at_ms as number | undefined) ?? null
  }
}
