import { join } from 'node:path'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { ForebayError } from '@forebay/protocol'
import { Intervals } from '../intervals.ts'
import type { TableName } from './tables.ts'

/** A Parquet file that belongs to the store. */
export interface LogFile {
  /** Grows; no two files ever share one. */
  readonly id: number
  readonly table: TableName
  /** '2026-11-21T13' */
  readonly hour: string
  readonly rows: number
  readonly bytes: number
  /** Of its rows, ms since 1970. */
  readonly firstMs: number
  readonly lastMs: number
  /** Written from the log and not from other files; whoever tails reads these. */
  readonly isFresh: boolean
}

/** What a group of rows brings, kept with its files in one transaction. */
export interface Taken {
  readonly places: ReadonlyMap<string, Intervals>
  /** Of `dropped` rows, which have no interval of their own. */
  readonly drops: Iterable<string>
}

/**
 * Which files are the store, and which rows are in them: one SQLite file. A Parquet file that it does not list is none.
 * Several processes may read it while one writes.
 */
export class Catalogue {
  readonly #database: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()

  constructor(database: DatabaseSync) {
    this.#database = database
  }

  static async open(path: string, mode: 'write' | 'read'): Promise<Catalogue> {
    const { DatabaseSync } = await import('node:sqlite')
    const database = new DatabaseSync(path, { readOnly: mode === 'read' })
    database.exec(`PRAGMA busy_timeout = ${BUSY_MS}`)
    if (mode === 'write') {
      database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
      database.exec(SCHEMA)
    }
    const version = database.prepare('SELECT version FROM about').get() as { version: number } | undefined
    if (version?.version !== VERSION) {
      database.close()
      throw new ForebayError('DATA_CORRUPT', `${path} is of version ${version?.version}; this reads ${VERSION}.`)
    }
    return new Catalogue(database)
  }

  /** In the order in which they were written. */
  files(table?: TableName): LogFile[] {
    const rows =
      table === undefined
        ? this.#statement('SELECT * FROM files WHERE removed_ms IS NULL ORDER BY id').all()
        : this.#statement('SELECT * FROM files WHERE removed_ms IS NULL AND name = ? ORDER BY id').all(table)
    return rows.map(fileOf)
  }

  /** Written from the log after this one; also such as were merged since. */
  freshAfter(id: number, table: TableName): LogFile[] {
    const sql = 'SELECT * FROM files WHERE id > ? AND name = ? AND fresh = 1 ORDER BY id'
    return this.#statement(sql).all(id, table).map(fileOf)
  }

  /** Also of those that were removed and are still on the disk. */
  everyId(): number[] {
    return this.#statement('SELECT id FROM files')
      .all()
      .map((row) => Number(row.id))
  }

  get lastId(): number {
    const row = this.#statement("SELECT seq FROM sqlite_sequence WHERE name = 'files'").get() as
      | { seq: number }
      | undefined
    return row?.seq ?? 0
  }

  places(source: string): Intervals {
    const row = this.#statement('SELECT bounds FROM places WHERE source = ?').get(source) as
      | { bounds: string }
      | undefined
    return new Intervals(row === undefined ? [] : (JSON.parse(row.bounds) as number[]))
  }

  hasDrop(id: string): boolean {
    return this.#statement('SELECT 1 FROM drops WHERE id = ?').get(id) !== undefined
  }

  /** Durable when it returns: both or neither. */
  add(files: readonly LogFile[], { places, drops }: Taken, wallMs: number): void {
    this.#transaction(() => {
      for (const file of files) this.#insert(file)
      const place = this.#statement(
        'INSERT INTO places VALUES (?, ?, ?) ON CONFLICT (source) DO UPDATE SET bounds = excluded.bounds, seen_ms = excluded.seen_ms',
      )
      for (const [source, intervals] of places) place.run(source, JSON.stringify(intervals.bounds), wallMs)
      const drop = this.#statement('INSERT OR IGNORE INTO drops VALUES (?, ?)')
      for (const id of drops) drop.run(id, wallMs)
    })
  }

  /** One file in the place of several with the same rows. */
  replace(old: readonly LogFile[], file: LogFile, wallMs: number): void {
    this.#transaction(() => {
      this.#insert(file)
      for (const { id } of old) this.#markRemoved(id, wallMs)
    })
  }

  remove(files: readonly LogFile[], wallMs: number): void {
    this.#transaction(() => {
      for (const { id } of files) this.#markRemoved(id, wallMs)
    })
  }

  /** Files that are of the store no more; queries that began before `untilMs` may still read them. */
  removedBefore(untilMs: number): LogFile[] {
    return this.#statement('SELECT * FROM files WHERE removed_ms < ?').all(untilMs).map(fileOf)
  }

  /** After the file itself is gone. */
  forget(files: readonly LogFile[]): void {
    this.#transaction(() => {
      for (const { id } of files) this.#statement('DELETE FROM files WHERE id = ?').run(id)
    })
  }

  /** What no record can bring again any more. */
  forgetPlacesBefore(untilMs: number): void {
    this.#transaction(() => {
      this.#statement('DELETE FROM places WHERE seen_ms < ?').run(untilMs)
      this.#statement('DELETE FROM drops WHERE seen_ms < ?').run(untilMs)
    })
  }

  close(): void {
    if (this.#database.isOpen) this.#database.close()
  }

  #insert({ id, table, hour, rows, bytes, firstMs, lastMs, isFresh }: LogFile): void {
    const sql = 'INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)'
    this.#statement(sql).run(id, table, hour, rows, bytes, firstMs, lastMs, isFresh ? 1 : 0)
  }

  #markRemoved(id: number, wallMs: number): void {
    this.#statement('UPDATE files SET removed_ms = ? WHERE id = ? AND removed_ms IS NULL').run(wallMs, id)
  }

  #transaction(work: () => void): void {
    this.#database.exec('BEGIN IMMEDIATE')
    try {
      work()
      this.#database.exec('COMMIT')
    } catch (thrown) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      throw thrown
    }
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = this.#database.prepare(sql)
      this.#statements.set(sql, statement)
    }
    return statement
  }
}

export function cataloguePath(dir: string): string {
  return join(dir, 'catalogue.sqlite')
}

function fileOf(row: object): LogFile {
  const { id, name, hour, rows, bytes, first_ms, last_ms, fresh } = row as FileRow
  return { id, table: name, hour, rows, bytes, firstMs: first_ms, lastMs: last_ms, isFresh: fresh === 1 }
}

interface FileRow extends Pick<LogFile, 'id' | 'hour' | 'rows' | 'bytes'> {
  readonly name: TableName
  readonly first_ms: number
  readonly last_ms: number
  readonly fresh: number
}

const VERSION = 1
const BUSY_MS = 5_000
const SCHEMA = `
CREATE TABLE IF NOT EXISTS about (version INTEGER NOT NULL);
INSERT INTO about SELECT ${VERSION} WHERE NOT EXISTS (SELECT 1 FROM about);
CREATE TABLE IF NOT EXISTS files (
  id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, hour TEXT NOT NULL, rows INTEGER NOT NULL, bytes INTEGER NOT NULL,
  first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, fresh INTEGER NOT NULL, removed_ms INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS files_removed ON files (removed_ms);
CREATE TABLE IF NOT EXISTS places (source TEXT PRIMARY KEY, bounds TEXT NOT NULL, seen_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS drops (id TEXT PRIMARY KEY, seen_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
`
