import type { DatabaseSync } from 'node:sqlite'
import { openSqliteFile, type SqliteFile, sqliteCodeOf } from '@forebay/broker/embedded'
import type { StoredTask } from '../store.ts'
import { unpackBatches } from './batch-codec.ts'
import { ReservationRows } from './reservation-rows.ts'
import type { OpenStore, Sweep, Swept, Write, Written } from './store-calls.ts'
import { SweepRows } from './sweep.ts'
import { makeTables } from './tables.ts'
import { TaskRows } from './task-rows.ts'

/** The store's file, opened: one transaction for each write. */
export class StoreFile {
  readonly #file: SqliteFile
  readonly #database: DatabaseSync
  readonly #tasks: TaskRows
  readonly #reservations: ReservationRows
  readonly #sweeping: SweepRows
  /** Why nothing is written any more. */
  #stopped: string | null = null

  constructor({ path, claimMs }: OpenStore) {
    this.#file = openSqliteFile(path)
    this.#database = this.#file.database
    try {
      makeTables(this.#database, path)
      this.#tasks = new TaskRows(this.#database)
      this.#reservations = new ReservationRows(this.#database, claimMs)
      this.#sweeping = new SweepRows(this.#database)
    } catch (error) {
      this.#file.close()
      throw error
    }
  }

  positions(topic: string): ReadonlyMap<number, number> {
    return this.#tasks.positions(topic)
  }

  write({ wallMs, monotonicMs, batches, claims }: Write): Written {
    if (this.#stopped !== null) return { kind: 'stopped', reason: this.#stopped }
    try {
      this.#database.exec('BEGIN IMMEDIATE')
      const duplicates: number[] = []
      if (batches !== null) {
        for (const batch of unpackBatches(batches)) duplicates.push(this.#tasks.apply(batch, wallMs))
      }
      const reservations = claims.map((act) => this.#reservations.act(act, { wallMs, monotonicMs }))
      this.#database.exec('COMMIT')
      return { kind: 'written', duplicates, reservations }
    } catch (error) {
      return this.#failed(error)
    }
  }

  read(taskIds: readonly string[]): readonly (StoredTask | null)[] {
    return taskIds.map((taskId) => this.#tasks.get(taskId))
  }

  sweep(request: Sweep): Swept {
    if (this.#stopped !== null) return { more: false }
    try {
      return this.#sweeping.sweep(request)
    } catch (error) {
      this.#failed(error)
      return { more: false }
    }
  }

  close(): void {
    this.#file.close()
  }

  #failed(error: unknown): Written {
    if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
    const code = sqliteCodeOf(error)
    const reason = error instanceof Error ? error.message : String(error)
    if (code === SQLITE_FULL) return { kind: 'full', reason }
    if (code !== SQLITE_IOERR && code !== SQLITE_CORRUPT) throw error
    this.#stopped = reason
    return { kind: 'stopped', reason }
  }
}

const SQLITE_IOERR = 10
const SQLITE_CORRUPT = 11
const SQLITE_FULL = 13
