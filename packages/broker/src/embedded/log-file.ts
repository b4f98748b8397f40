import type { StatementSync } from 'node:sqlite'
import { crc32 } from 'node:zlib'
import { ForebayError } from '@forebay/protocol/errors'
import type { TopicSpec } from '../broker.ts'
import type {
  Append,
  AppendChunk,
  Appended,
  ChunksRead,
  OpenLog,
  ReadChunks,
  StoredPartition,
  StoredPosition,
} from './log-calls.ts'
import { explainSqliteError, openSqliteFile, SQLITE_FULL, type SqliteFile, sqliteCodeOf } from './sqlite-file.ts'

/** A partition and its table. Each has a table of its own, so that appends always go to its right-hand edge. */
export interface PartitionTable {
  readonly id: number
  readonly topic: string
  readonly partition: number
  readonly retentionMs: number | 'forever'
  start: number
  end: number
  readonly insert: StatementSync
  readonly select: StatementSync
}

/** The log's tables, in one SQLite file. Every method blocks; only the log thread calls them. */
export class LogFile {
  readonly tables = new Map<number, PartitionTable>()
  readonly file: SqliteFile
  readonly #path: string
  readonly #bytesMax: number
  /** Why nothing is appended any more. */
  #stopped: string | null = null

  constructor(request: OpenLog) {
    this.#path = request.path
    this.#bytesMax = request.bytesMax
    this.file = openSqliteFile(request.path)
    try {
      this.#checkVersion()
      this.#limitPages(0)
      this.transaction(() => {
        this.file.database.exec(SCHEMA)
        for (const topic of request.topics) this.#addTopic(topic)
      })
      this.#openTables()
    } catch (error) {
      this.file.close()
      throw explainSqliteError(error, this.#path)
    }
  }

  partitions(): StoredPartition[] {
    return [...this.tables.values()].map(storedOf)
  }

  /** Makes those that are missing; returns the partitions that are new. */
  addTopics(topics: readonly TopicSpec[]): StoredPartition[] {
    try {
      this.transaction(() => {
        for (const topic of topics) this.#addTopic(topic)
      })
    } catch (error) {
      throw explainSqliteError(error, this.#path)
    }
    return this.#openTables().map(storedOf)
  }

  positions(): StoredPosition[] {
    const rows = this.file.database
      .prepare('SELECT consumer_group, partition_id, watermark, metadata FROM position')
      .all()
    return rows.map((row) => ({
      group: String(row.consumer_group),
      partitionId: Number(row.partition_id),
      watermark: Number(row.watermark),
      metadata: String(row.metadata),
    }))
  }

  /** One transaction, one flush, for all chunks. */
  append({ buffer, chunks }: Append): Appended {
    if (this.#stopped !== null) return { kind: 'stopped', outcome: 'refused', reason: this.#stopped }
    const { database } = this.file
    let committing = false
    try {
      database.exec('BEGIN')
      const bases = chunks.map((chunk) => this.#insert(buffer, chunk))
      committing = true
      database.exec('COMMIT')
      for (const chunk of chunks) this.tables.get(chunk.partitionId)!.end += chunk.records
      return { kind: 'appended', bases }
    } catch (error) {
      this.#rollBack()
      if (sqliteCodeOf(error) === SQLITE_FULL) return { kind: 'full', reason: messageOf(error) }
      return { kind: 'stopped', outcome: committing ? 'unknown' : 'refused', reason: this.#stop(error) }
    }
  }

  /** Throws DATA_CORRUPT when the records are not what was written. */
  read(request: ReadChunks): ChunksRead {
    try {
      return this.#read(request)
    } catch (error) {
      throw explainSqliteError(error, this.#path)
    }
  }

  commit(positions: readonly StoredPosition[]): void {
    const { database } = this.file
    const upsert = database.prepare(UPSERT_POSITION)
    const write = () =>
      this.transaction(() => {
        for (const one of positions) upsert.run(one.group, one.partitionId, one.watermark, one.metadata)
      })
    try {
      write()
    } catch (error) {
      if (sqliteCodeOf(error) !== SQLITE_FULL) throw error
      // Positions are what lets retention make room, so they may use a little more than the limit.
      this.#limitPages(POSITION_PAGES_SPARE)
      write()
      this.#limitPages(0)
    }
  }

  /** For everything but appends. Throws, and nothing of it happened. */
  transaction(act: () => void): void {
    const { database } = this.file
    if (this.#stopped !== null) throw new ForebayError('NOT_ACCEPTED', `The log has stopped: ${this.#stopped}.`)
    try {
      database.exec('BEGIN IMMEDIATE')
      act()
      database.exec('COMMIT')
    } catch (error) {
      this.#rollBack()
      if (sqliteCodeOf(error) !== SQLITE_FULL) this.#stop(error)
      throw error
    }
  }

  close(): void {
    this.file.close()
  }

  #insert(buffer: ArrayBuffer, chunk: AppendChunk): number {
    const table = this.tables.get(chunk.partitionId)!
    const body = new Uint8Array(buffer, chunk.start, chunk.end - chunk.start)
    table.insert.run(table.end + chunk.records - 1, table.end, chunk.timestampMs, crc32(body), body)
    return table.end
  }

  #read({ partitionId, from, bytesMax }: ReadChunks): ChunksRead {
    const table = this.tables.get(partitionId)!
    const bodies: Uint8Array[] = []
    const chunks: ChunksRead['chunks'][number][] = []
    let end = 0
    for (const row of table.select.iterate(from) as Iterable<unknown> as Iterable<ChunkRow>) {
      const [base, checksum, body] = row
      if (crc32(body) !== checksum) throw this.#damaged(table, base)
      chunks.push({ base, start: end, end: end + body.length })
      bodies.push(body)
      end += body.length
      if (end >= bytesMax) break
    }
    return { buffer: joined(bodies, end), chunks }
  }

  /** What a failed flush has left on the disk nobody knows, so nothing is written on top of it. */
  #stop(error: unknown): string {
    this.#stopped = `writing to ${this.#path} failed (${messageOf(error)}); check the disk, then restart`
    return this.#stopped
  }

  /** SQLite has rolled back by itself after some errors. */
  #rollBack(): void {
    if (this.file.database.isTransaction) this.file.database.exec('ROLLBACK')
  }

  #checkVersion(): void {
    const version = Number(this.file.database.prepare('PRAGMA user_version').get()!.user_version)
    if (version === 0 || version === SCHEMA_VERSION) return
    throw new ForebayError(
      'DATA_CORRUPT',
      `${this.#path} has format ${version} and this version of Forebay reads format ${SCHEMA_VERSION}: use the version that wrote it.`,
    )
  }

  #limitPages(spare: number): void {
    const pageBytes = Number(this.file.database.prepare('PRAGMA page_size').get()!.page_size)
    this.file.database.exec(`PRAGMA max_page_count = ${Math.ceil(this.#bytesMax / pageBytes) + spare}`)
  }

  #addTopic(topic: TopicSpec): void {
    if (!Number.isInteger(topic.partitions) || topic.partitions < 1) {
      throw new ForebayError(
        'CONFIG_INVALID',
        `partitions: ${topic.name} cannot have ${topic.partitions}; give it 1 or more.`,
      )
    }
    const { database } = this.file
    const known = database.prepare('SELECT 1 FROM partition WHERE topic = ? LIMIT 1').get(topic.name)
    if (known !== undefined) return
    const insert = database.prepare('INSERT INTO partition (topic, number, retention_ms, start) VALUES (?, ?, ?, 0)')
    const retentionMs = topic.retentionMs === 'forever' ? null : topic.retentionMs
    for (let number = 0; number < topic.partitions; number++) {
      const { lastInsertRowid } = insert.run(topic.name, number, retentionMs)
      database.exec(`CREATE TABLE chunk_${lastInsertRowid} (
        last INTEGER PRIMARY KEY, base INTEGER NOT NULL, timestamp_ms INTEGER NOT NULL, checksum INTEGER NOT NULL,
        body BLOB NOT NULL)`)
    }
  }

  /** Those that were not open yet. */
  #openTables(): PartitionTable[] {
    const { database } = this.file
    const opened: PartitionTable[] = []
    for (const row of database.prepare('SELECT * FROM partition ORDER BY id').all()) {
      const id = Number(row.id)
      if (this.tables.has(id)) continue
      const start = Number(row.start)
      const last = database.prepare(`SELECT max(last) AS last FROM chunk_${id}`).get()!.last
      const select = database.prepare(`SELECT base, checksum, body FROM chunk_${id} WHERE last >= ? ORDER BY last`)
      select.setReturnArrays(true)
      const table = {
        id,
        topic: String(row.topic),
        partition: Number(row.number),
        retentionMs: row.retention_ms === null ? 'forever' : Number(row.retention_ms),
        start,
        end: last === null ? start : Number(last) + 1,
        insert: database.prepare(`INSERT INTO chunk_${id} VALUES (?, ?, ?, ?, ?)`),
        select,
      } satisfies PartitionTable
      this.tables.set(id, table)
      opened.push(table)
    }
    return opened
  }

  #damaged(table: PartitionTable, base: number): ForebayError {
    return new ForebayError(
      'DATA_CORRUPT',
      `${this.#path} is damaged: the records of ${table.topic}, partition ${table.partition}, from offset ${base} on are not what was written; restore the file from a backup.`,
      { members: { topic: table.topic, partition: table.partition, offset: base } },
    )
  }
}

type ChunkRow = readonly [base: number, checksum: number, body: Uint8Array]

const SCHEMA_VERSION = 1
const POSITION_PAGES_SPARE = 256

const SCHEMA = `
  PRAGMA user_version = ${SCHEMA_VERSION};
  CREATE TABLE IF NOT EXISTS partition (
    id INTEGER PRIMARY KEY, topic TEXT NOT NULL, number INTEGER NOT NULL, retention_ms INTEGER,
    start INTEGER NOT NULL, UNIQUE (topic, number));
  CREATE TABLE IF NOT EXISTS position (
    consumer_group TEXT NOT NULL, partition_id INTEGER NOT NULL, watermark INTEGER NOT NULL, metadata TEXT NOT NULL,
    PRIMARY KEY (consumer_group, partition_id)) WITHOUT ROWID;
`

const UPSERT_POSITION = `
  INSERT INTO position VALUES (?, ?, ?, ?)
  ON CONFLICT DO UPDATE SET watermark = excluded.watermark, metadata = excluded.metadata`

function storedOf({ id, topic, partition, start, end }: PartitionTable): StoredPartition {
  return { id, topic, partition, start, end }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function joined(bodies: readonly Uint8Array[], bytes: number): ArrayBuffer {
  const buffer = new ArrayBuffer(bytes)
  const into = new Uint8Array(buffer)
  let at = 0
  for (const body of bodies) {
    into.set(body, at)
    at += body.length
  }
  return buffer
}
