import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { CallbackRows } from './callback-rows.ts'
import { ENDED, OPEN, PARKED } from './row-states.ts'
import type { Sweep, Swept } from './store-calls.ts'
import { SweepOutputs } from './sweep-outputs.ts'

/** Removes what has had its time, a bounded slice at each call, in a transaction of its own. */
export class SweepRows {
  readonly #database: DatabaseSync
  readonly #outputs: SweepOutputs
  readonly #callbacks: CallbackRows
  readonly #ended: StatementSync
  readonly #open: StatementSync
  readonly #parked: StatementSync
  readonly #isParked: StatementSync
  readonly #removeTask: StatementSync
  readonly #holdTask: StatementSync
  readonly #removeReservations: StatementSync
  readonly #pages: StatementSync
  readonly #freePages: StatementSync
  readonly #pageBytes: number
  /** Up to where notes of parked tasks have been looked through in this round. */
  #parkedFromMs = 0
  #parkedFromId = 0

  constructor(database: DatabaseSync, callbacks: CallbackRows) {
    this.#callbacks = callbacks
    this.#database = database
    this.#outputs = new SweepOutputs(database)
    this.#ended = database.prepare(
      `SELECT rowid, task_id, coalesce(length(payload), 0) AS bytes FROM tasks WHERE ended = ${ENDED} AND at_ms < ?
       ORDER BY at_ms LIMIT ${SLICE_ROWS_MAX}`,
    )
    this.#open = database.prepare(
      `SELECT rowid, queue, task_id FROM tasks WHERE ended = ${OPEN} AND at_ms < ?
       ORDER BY at_ms LIMIT ${SLICE_ROWS_MAX}`,
    )
    this.#parked = database.prepare(
      `SELECT rowid, at_ms, queue, task_id FROM tasks WHERE ended = ${PARKED} AND at_ms < ? AND (at_ms, rowid) > (?, ?)
       ORDER BY at_ms, rowid LIMIT ${SLICE_PARKED_MAX}`,
    )
    this.#isParked = database.prepare('SELECT 1 FROM parked WHERE task_id = ? AND queue = ?')
    this.#removeTask = database.prepare('DELETE FROM tasks WHERE rowid = ?')
    this.#holdTask = database.prepare(`UPDATE tasks SET ended = ${PARKED} WHERE rowid = ?`)
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
    removed += this.#callbacks.sweep(nowMs, endedBeforeMs)
    removed += this.#removeEnded(endedBeforeMs, SLICE_BYTES_MAX)
    removed += this.#removeOpen(notedBeforeMs)
    removed += this.#removeUnparked(notedBeforeMs)
    removed += this.#outputs.removeSilent(endedBeforeMs, SLICE_BYTES_MAX)
    // Results and outputs go before their time rather than the disk fills up; of an unfinished task there is only a line
    // to save beside what it has said.
    const excessBytes = this.#bytesUsed() - bytesMax
    if (removed === 0 && excessBytes > 0) {
      removed += this.#removeEnded(Number.MAX_SAFE_INTEGER, excessBytes)
      if (removed === 0) removed += this.#outputs.removeOldest(Math.min(excessBytes, SLICE_BYTES_MAX))
    }
    this.#database.exec('COMMIT')
    this.#callbacks.look()
    if (removed > 0) return { more: true }
    return { more: this.#giveBack() }
  }

  #removeEnded(beforeMs: number, bytesWanted: number): number {
    const bytesMax = Math.min(bytesWanted, SLICE_BYTES_MAX)
    const outputs = this.#outputs.any()
    let removed = 0
    let bytes = 0
    for (const row of this.#ended.all(beforeMs)) {
      this.#removeTask.run(row.rowid!)
      if (outputs) bytes += this.#outputs.removeOf(row.task_id as string)
      removed += 1
      bytes += ROW_BYTES + (row.bytes as number)
      if (bytes >= bytesMax) break
    }
    return removed
  }

  /** A task may be parked whose last note says something else. */
  #removeOpen(beforeMs: number): number {
    const rows = this.#open.all(beforeMs)
    for (const { rowid, task_id: taskId, queue } of rows) {
      const parked = this.#isParked.get(taskId!, queue!) !== undefined
      const away = parked ? this.#holdTask : this.#removeTask
      away.run(rowid!)
    }
    return rows.length
  }

  /**
   * What is known of a parked task stays as long as its row does. A slice at each sweep, round and round: most of what
   * is looked at stays.
   */
  #removeUnparked(beforeMs: number): number {
    const rows = this.#parked.all(beforeMs, this.#parkedFromMs, this.#parkedFromId)
    const last = rows.length < SLICE_PARKED_MAX ? undefined : rows.at(-1)
    this.#parkedFromMs = (last?.at_ms as number | undefined) ?? 0
    this.#parkedFromId = (last?.rowid as number | undefined) ?? 0
    let removed = 0
    for (const { rowid, task_id: taskId, queue } of rows) {
      if (this.#isParked.get(taskId!, queue!) !== undefined) continue
      this.#removeTask.run(rowid!)
      removed += 1
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

/** More than one transaction writes, so that the sweep keeps up with a store that is written to without a pause. */
const SLICE_ROWS_MAX = 4_000
const SLICE_PARKED_MAX = 500
const SLICE_BYTES_MAX = 4 * 1024 * 1024
/** About what a row and its places in the indexes take beside the payload. */
const ROW_BYTES = 256
const SLICE_PAGES_MAX = 512
const FREE_PAGES_MIN = 4_096
const FREE_PAGES_SHARE = 0.25
