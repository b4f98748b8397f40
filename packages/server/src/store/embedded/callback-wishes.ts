import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { CallbackFilter } from '../callbacks.ts'
import { conditionsOf, limitOf } from './callback-lookups.ts'

/** What operators want of callbacks. Used inside the caller's transaction. */
export class CallbackWishes {
  readonly #database: DatabaseSync
  readonly #wake: StatementSync
  readonly #enable: StatementSync
  readonly #enableRows: StatementSync

  constructor(database: DatabaseSync) {
    this.#database = database
    this.#wake = database.prepare(
      `UPDATE callbacks SET state = 'due', taker = NULL, tries = 0, due_since_ms = ?1, wake_at_ms = ?1, changed_at_ms = ?1
       WHERE seq = ?2`,
    )
    this.#enable = database.prepare('DELETE FROM disabled_receivers WHERE owner = ? AND url = ?')
    this.#enableRows = database.prepare(
      `UPDATE callbacks SET state = iif(generation IS NULL, 'waiting', 'due'), tries = 0, due_since_ms = ?1,
         wake_at_ms = ?1, changed_at_ms = ?1
       WHERE owner = ?2 AND url = ?3 AND state = 'disabled'`,
    )
  }

  replay(filter: CallbackFilter, nowMs: number): number {
    const { sql, values } = conditionsOf(filter)
    const rows = this.#database
      .prepare(
        `SELECT seq FROM callbacks WHERE ${sql} AND state IN ('due', 'delivered', 'given-up')
           AND (taker IS NULL OR wake_at_ms <= ?) ORDER BY seq DESC LIMIT ?`,
      )
      .all(...values, nowMs, limitOf(filter))
    for (const { seq } of rows) this.#wake.run(nowMs, seq!)
    return rows.length
  }

  enable(owner: string, url: string, nowMs: number): boolean {
    const lifted = this.#enable.run(owner, url).changes === 1
    return this.#enableRows.run(nowMs, owner, url).changes > 0 || lifted
  }
}
