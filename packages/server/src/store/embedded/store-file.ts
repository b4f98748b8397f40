import type { DatabaseSync } from 'node:sqlite'
import { openSqliteFile, type SqliteFile, sqliteCodeOf } from '@forebay/broker/embedded'
import { ForebayError } from '@forebay/protocol/errors'
import type { ApplyReport, StoredTask } from '../store.ts'
import { unpackBatches } from './batch-codec.ts'
import { CallbackLookups } from './callback-lookups.ts'
import { CallbackRows } from './callback-rows.ts'
import { OutputLookups } from './output-lookups.ts'
import { ParkedLookups } from './parked-lookups.ts'
import { ParkedRows } from './parked-rows.ts'
import { ReservationRows } from './reservation-rows.ts'
import type { OpenStore, Sweep, Swept, Write, Written } from './store-calls.ts'
import { SweepRows } from './sweep.ts'
import { makeTables } from './tables.ts'
import { TaskRows } from './task-rows.ts'

/** The store's file, opened: one transaction for each write. */
export class StoreFile {
  /** Reads only. */
  readonly parked: ParkedLookups
  /** Reads only. */
  readonly outputs: OutputLookups
  /** Reads only. */
  readonly callbacks: CallbackLookups
  readonly #file: SqliteFile
  readonly #database: DatabaseSync
  readonly #tasks: TaskRows
  readonly #reservations: ReservationRows
  readonly #parking: ParkedRows
  readonly #calling: CallbackRows
  readonly #sweeping: SweepRows
  /** Why nothing is written any more. */
  #stopped: string | null = null

  constructor({ path, claimMs }: OpenStore) {
    this.#file = openSqliteFile(path)
    this.#database = this.#file.database
    try {
      makeTables(this.#database, path)
      this.#calling = new CallbackRows(this.#database)
      this.#tasks = new TaskRows(this.#database, this.#calling)
      this.#reservations = new ReservationRows(this.#database, claimMs)
      this.#parking = new ParkedRows(this.#database)
      this.parked = new ParkedLookups(this.#database)
      this.outputs = new OutputLookups(this.#database)
      this.callbacks = new CallbackLookups(this.#database)
      this.#sweeping = new SweepRows(this.#database, this.#calling)
    } catch (error) {
      this.#file.close()
      throw error
    }
  }

  positions(topic: string): ReadonlyMap<number, number> {
    return this.#tasks.positions(topic)
  }

  write({ nowMs, monotonicMs, batches, claims, parking, records, callbacks }: Write): Written {
    if (this.#stopped !== null) return { kind: 'stopped', reason: this.#stopped }
    try {
      this.#database.exec('BEGIN IMMEDIATE')
      const reports: ApplyReport[] = []
      if (batches !== null) {
        for (const batch of unpackBatches(batches)) reports.push(this.#tasks.apply(batch, nowMs))
      }
      const reservations = claims.map((act) => this.#reservations.act(act, { nowMs, monotonicMs }))
      const packed = Buffer.from(records ?? NOTHING)
      const parked = parking.map((act) => this.#parking.act(act, packed, nowMs))
      const called = callbacks.map((act) => this.#calling.act(act, nowMs))
      this.#database.exec('COMMIT')
      return { kind: 'written', reports, reservations, parking: parked, callbacks: called }
    } catch (error) {
      return this.#failed(error)
    }
  }

  rebuild(topic: string): void {
    if (this.#stopped !== null) throw new ForebayError('NOT_ACCEPTED', `The store's disk failed (${this.#stopped}).`)
    try {
      this.#database.exec('BEGIN IMMEDIATE')
      this.#tasks.rebuild(topic)
      this.#database.exec('COMMIT')
    } catch (error) {
      this.#failed(error)
      throw error
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

const NOTHING = new ArrayBuffer(0)
const SQLITE_IOERR = 10
const SQLITE_CORRUPT = 11
const SQLITE_FULL = 13
