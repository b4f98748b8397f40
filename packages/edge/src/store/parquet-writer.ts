import { mkdir, open, rename, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { DuckDBConnection } from '@duckdb/node-api'
import { flushFolder } from '@forebay/broker/durable-file'
import type { LogFile } from './catalogue.ts'
import { type Duck, sqlText } from './duck.ts'
import { type Column, type ColumnType, TABLE_OF_KIND, TABLES, type Table, type TableName } from './tables.ts'

/** A row on its way into the store. */
export interface IncomingRow {
  /** Null: as the document's `kind` says. */
  readonly table: TableName | null
  readonly source: string
  readonly epoch: string
  readonly first: number
  readonly end: number
  /** Of its record, ms since 1970: the time of rows that say none. */
  readonly recordMs: number
  /** One JSON document; what is none becomes a row of `undecodable`. */
  readonly document: string
}

/** Turns rows into files, one for each table and hour, flushed and in their place. Nothing lists them yet. */
export class ParquetWriter {
  readonly #duck: Duck
  readonly #connection: DuckDBConnection
  readonly #dir: string
  readonly #nextId: () => number

  constructor(duck: Duck, connection: DuckDBConnection, dir: string, nextId: () => number) {
    this.#duck = duck
    this.#connection = connection
    this.#dir = dir
    this.#nextId = nextId
  }

  async write(rows: readonly IncomingRow[]): Promise<LogFile[]> {
    const files: LogFile[] = []
    for (const staged of await this.#stage(rows)) files.push(await this.#writeFile(staged))
    return files
  }

  /** A document that the engine chokes on is found by halves and kept as it came: one row must not stop the others. */
  async #stage(rows: readonly IncomingRow[]): Promise<Staged[]> {
    const bad = new Set<IncomingRow>()
    for (;;) {
      await this.#append(rows, bad)
      try {
        await this.#connection.run(STAGE)
        for (const table of TABLES) await this.#connection.run(stageTable(table))
        break
      } catch (thrown) {
        const found = await this.#findBad(rows.filter((row) => !bad.has(row)))
        if (found === null) throw thrown
        bad.add(found)
      }
    }
    const staged: Staged[] = []
    for (const { name } of TABLES) {
      const groups = await this.#connection.runAndReadAll(
        `SELECT strftime(hour, '%Y-%m-%dT%H'), count(*)::INTEGER, epoch_ms(min(time)), epoch_ms(max(time)) FROM staged_${name} GROUP BY 1 ORDER BY 1`,
      )
      for (const [hour, count, firstMs, lastMs] of groups.getRows()) {
        staged.push({
          table: name,
          hour: String(hour),
          rows: Number(count),
          firstMs: Number(firstMs),
          lastMs: Number(lastMs),
        })
      }
    }
    return staged
  }

  async #findBad(rows: readonly IncomingRow[]): Promise<IncomingRow | null> {
    let suspects = rows
    while (suspects.length > 1) {
      const half = suspects.slice(0, suspects.length >> 1)
      suspects = (await this.#fails(half)) ? half : suspects.slice(half.length)
    }
    const [last] = suspects
    return last !== undefined && (await this.#fails([last])) ? last : null
  }

  async #fails(rows: readonly IncomingRow[]): Promise<boolean> {
    try {
      await this.#append(rows, new Set())
      await this.#connection.run(STAGE)
      for (const table of TABLES) await this.#connection.run(stageTable(table))
      return false
    } catch {
      return true
    }
  }

  async #append(rows: readonly IncomingRow[], bad: ReadonlySet<IncomingRow>): Promise<void> {
    const { DuckDBDataChunk, VARCHAR, BIGINT } = this.#duck
    await this.#connection.run(INCOMING)
    const types = [VARCHAR, VARCHAR, VARCHAR, BIGINT, BIGINT, BIGINT, VARCHAR]
    const appender = await this.#connection.createAppender('incoming')
    try {
      for (let at = 0; at < rows.length; at += CHUNK_ROWS) {
        const part = rows.slice(at, at + CHUNK_ROWS)
        const chunk = DuckDBDataChunk.create(types, part.length)
        chunk.setColumns([
          part.map((row) => (bad.has(row) ? 'broken' : row.table)),
          part.map((row) => row.source),
          part.map((row) => row.epoch),
          part.map((row) => BigInt(row.first)),
          part.map((row) => BigInt(row.end)),
          part.map((row) => BigInt(row.recordMs)),
          part.map((row) => row.document),
        ])
        appender.appendDataChunk(chunk)
      }
    } finally {
      appender.closeSync()
    }
  }

  async #writeFile({ table, hour, rows, firstMs, lastMs }: Staged): Promise<LogFile> {
    const id = this.#nextId()
    const begin = `TIMESTAMP ${sqlText(`${hour.replace('T', ' ')}:00:00`)}`
    const select = `SELECT * EXCLUDE (hour) FROM staged_${table} WHERE hour = ${begin}`
    const bytes = await writeParquet(this.#connection, this.#dir, { id, table, hour }, select)
    return { id, table, hour, rows, bytes, firstMs, lastMs, isFresh: true }
  }
}

/** Writes beside, flushes, moves, flushes the folder. Resolves to its size in bytes. */
export async function writeParquet(
  connection: DuckDBConnection,
  dir: string,
  file: Pick<LogFile, 'id' | 'table' | 'hour'>,
  select: string,
): Promise<number> {
  const path = parquetPath(dir, file)
  const temporary = join(temporaryFolder(dir), `${file.id}.parquet`)
  await connection.run(`COPY (${select}) TO ${sqlText(temporary)} (FORMAT parquet, COMPRESSION zstd)`)
  const handle = await open(temporary, 'r+')
  try {
    await handle.datasync()
  } finally {
    await handle.close()
  }
  const folder = dirname(path)
  if ((await mkdir(folder, { recursive: true })) !== undefined) {
    await flushFolder(dirname(folder))
    await flushFolder(dirname(dirname(folder)))
  }
  await rename(temporary, path)
  await flushFolder(folder)
  return (await stat(path)).size
}

/** The only folder that queries may read. */
export function parquetFolder(dir: string): string {
  return join(dir, 'parquet')
}

export function parquetPath(dir: string, { id, table, hour }: Pick<LogFile, 'id' | 'table' | 'hour'>): string {
  return join(parquetFolder(dir), table, hour, `${id}.parquet`)
}

export function temporaryFolder(dir: string): string {
  return join(dir, 'writing')
}

/** Of one engine, for a table without files and for the types of what is in them. */
export function duckType({ type }: Column): string {
  return DUCK_TYPES[type]
}

interface Staged {
  readonly table: TableName
  readonly hour: string
  readonly rows: number
  readonly firstMs: number
  readonly lastMs: number
}

/** Of an appender. */
const CHUNK_ROWS = 2_048

const DUCK_TYPES: Readonly<Record<ColumnType, string>> = {
  text: 'VARCHAR',
  integer: 'BIGINT',
  number: 'DOUBLE',
  boolean: 'BOOLEAN',
  time: 'TIMESTAMP',
  json: 'VARCHAR',
}

const INCOMING = `CREATE OR REPLACE TEMP TABLE incoming
  (name VARCHAR, source VARCHAR, epoch VARCHAR, first_byte BIGINT, end_byte BIGINT, record_ms BIGINT, document VARCHAR)`

/** Sorts documents into tables; a kind that is not known yet is kept whole. */
const STAGE = `CREATE OR REPLACE TEMP TABLE staged AS
  SELECT CASE
      WHEN name IS NOT NULL THEN name
      WHEN NOT json_valid(document) OR json_type(document) <> 'OBJECT' THEN 'broken'
      ELSE CASE document ->> '$.kind' ${Object.entries(TABLE_OF_KIND)
        .map(([kind, name]) => `WHEN '${kind}' THEN '${name}'`)
        .join(' ')} ELSE 'others' END END AS name,
    * EXCLUDE (name)
  FROM incoming`

/**
 * How far the time of a row may lie from that of its record to have an hour of its own; beyond, it is with its record,
 * so that a clock that is wrong, or somebody who invents times, cannot make thousands of files.
 */
const LATE_HOURS_MAX = 48
const EARLY_HOURS_MAX = 1

function stageTable({ name, columns }: Table): string {
  const recordTime = 'make_timestamp(record_ms * 1000)'
  const structure = sqlText(JSON.stringify(Object.fromEntries(columns.map((one) => [one.member, jsonType(one)]))))
  const values = columns.map((column) => `${selectedValue(name, column)} AS ${column.name}`)
  const place = 'source, epoch, first_byte, end_byte'
  const broken = `SELECT ${recordTime} AS time, 'not-json' AS reason, base64(encode(document)) AS bytes, false AS continues, ${place}, record_ms
      FROM staged WHERE name = 'broken'`
  const parsed = `SELECT ${values.join(', ')}, ${place}, record_ms
      FROM (SELECT *, json_transform(document, ${structure}) AS d FROM staged WHERE name = '${name}')`
  return `CREATE OR REPLACE TEMP TABLE staged_${name} AS
    SELECT * EXCLUDE (record_ms), date_trunc('hour', CASE
        WHEN time BETWEEN ${recordTime} - INTERVAL ${LATE_HOURS_MAX} HOUR AND ${recordTime} + INTERVAL ${EARLY_HOURS_MAX} HOUR THEN time
        ELSE ${recordTime} END) AS hour
    FROM (${name === 'undecodable' ? `${parsed} UNION ALL BY NAME ${broken}` : parsed})`
}

function jsonType(column: Column): string {
  if (column.type === 'time') return 'VARCHAR'
  return column.type === 'json' ? 'JSON' : duckType(column)
}

function selectedValue(table: TableName, { member, type }: Column): string {
  if (table === 'others' && member === 'document') return 'document'
  if (type === 'json') return `d.${member}::VARCHAR`
  if (type !== 'time') return `d."${member}"`
  const said = `TRY_CAST(d."${member}" AS TIMESTAMPTZ)`
  const otherwise = member === 'time' ? 'make_timestamp(record_ms * 1000)' : 'NULL'
  return `CASE WHEN isfinite(${said}) THEN ${said} AT TIME ZONE 'UTC' ELSE ${otherwise} END`
}
