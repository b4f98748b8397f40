import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Sweep, Swept } from './store-calls.ts'

/** Removes what has had its time, a bounded slice at each call, in a transaction of its own. */
export class SweepRows {
  readonly #database: DatabaseSync
  readonly #oldest: StatementSync
  readonly #removeTask: StatementSync
  readonly #removeReservations: StatementSync
  readonly #pages: StatementSync
  readonly #freePages: StatementSync
  readonly #pageBytes: number

  constructor(database: DatabaseSync) {
    this.#database = database
    this.#oldest = database.prepare(
      `SELECT rowid, coalesce(length(payload), 0) AS bytes FROM tasks WHERE ended = ? AND at_ms < ?
       ORDER BY at_ms LIMIT ${SLICE_ROWS_MAX}`,
    )
    this.#removeTask = database.prepare('DELETE FROM tasks WHERE rowid = ?')
    this.#removeReservations = database.prepare(
      `DELETE FROM reservations WHERE (principal, route, key) IN
       (SELECT principal, route, key FROM reservations WHERE expires_at_ms <= ? LIMIT ${SLICE_ROWS_MAX})`,
    )
    this.#pages = database.prepare('PRAGMA page_count')
    this.#freePages = database.prepare('PRAGMA freelist_count')
    this.#pageBytes = database.prepare('PRAGMA page_size').get()?.page_size as number
  }

  sweep({ nowMs, endedBeforeMs, notedBeforeMs, bytesMax }: Sweep): Swept {
    this.#database.exec('BEGIN IMMEDIATE')
    let removed = 0
    removed += Number(this.#removeReservations.run(nowMs).changes)
    removed += this.#remove(ENDED, endedBeforeMs)
    removed += this.#remove(OPEN, notedBeforeMs)
    // Results go before their time rather than the disk fills up; of an unfinished task there is only a line to save.
    const excessBytes = this.#bytesUsed() - bytesMax
    if (removed === 0 && excessBytes > 0) removed += this.#remove(ENDED, Number.MAX_SAFE_INTEGER, excessBytes)
    this.#database.exec('COMMIT')
    if (removed > 0) return { more: true }
    return { more: this.#giveBack() }
  }

  #remove(ended: number, beforeMs: number, bytesWanted = SLICE_BYTES_MAX): number {
    const bytesMax = Math.min(bytesWanted, SLICE_BYTES_MAX)
    let removed = 0
    let bytes = 0
    for (const row of this.#oldest.all(ended, beforeMs)) {
      this.#removeTask.run(row.rowid!)
      removed += 1
      bytes += ROW_BYTES + (row.bytes as number)
      if (bytes >= bytesMax) break
    }
    return removed
  }

  #bytesUsed(): number {
    return (this.#count(this.#pages, 'page_count') - this.#count(this.#freePages, 'freelist_count')) * this.#pageBytes
  }

  /** Free pages are used again; only many of them go back to the disk. True when there are more. */
  #giveBack(): boolean {
    const surplus = () =>
      this.#count(this.#freePages, 'freelist_count') >
      Math.max(FREE_PAGES_MIN, this.#count(this.#pages, 'page_count') * FREE_PAGES_SHARE)
    if (!surplus()) return false
    this.#database.exec(`PRAGMA incremental_vacuum(${SLICE_PAGES_MAX})`)
    return surplus()
  }

  #count(statement: StatementSync, column: string): number {
    return statement.get()?.[column] as number
  }
}

const ENDED = 1
const OPEN = 0
/** More than one transaction writes, so that the sweep keeps up with a store that is written to without a pause. */
const SLICE_ROWS_MAX = 4_000
const SLICE_BYTES_MAX = 4 * 1024 * 1024
/** About what a row and its places in the indexes take beside the payload. */
const ROW_BYTES = 256
const SLICE_PAGES_MAX = 512
const FREE_PAGES_MIN = 4_096
const FREE_PAGES_SHARE = 0.25
