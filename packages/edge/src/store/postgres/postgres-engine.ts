import type { Clock } from '@forebay/broker'
import type pg from 'pg'
import { Intervals } from '../../intervals.ts'
import type { LogEngine, PostgresLogStoreOptions } from '../log-store.ts'
import type { IncomingRow } from '../parquet-writer.ts'
import { dropIdOf, Sieve } from '../sieve.ts'
import { TABLES, type TableName } from '../tables.ts'
import { loadPostgres, postgresConfig, sqlStateOf } from './connect.ts'
import { retire } from './retire.ts'
import { type RowToInsert, rowToInsert, undecodableRow } from './row-values.ts'
import {
  makePartition,
  makeSchema,
  PLACE_TYPES,
  partitionOf,
  postgresType,
  rowsTable,
  SCHEMA_DEFAULT,
} from './schema.ts'

/**
 * Tables of one PostgreSQL, which any number of processes may write: rows, and the places of rows, in one transaction. Who
 * has rows of the same source waits at its place for the other, and then knows them. The server may be away at the start.
 */
export async function openPostgresEngine(options: PostgresLogStoreOptions, clock: Clock): Promise<LogEngine> {
  const { Pool } = await loadPostgres()
  const schema = options.schema ?? SCHEMA_DEFAULT
  const pool = new Pool({ ...postgresConfig(options.url), max: CONNECTIONS_MAX })
  // A connection that breaks while nobody uses it is replaced by the next call.
  pool.on('error', () => {})
  const partitions = new Set<string>()
  let isMade = false
  const withClient = async <Result>(work: (client: pg.ClientBase) => Promise<Result>): Promise<Result> => {
    const client = await pool.connect()
    try {
      if (!isMade) await makeSchema(client, schema)
      isMade = true
      const result = await work(client)
      client.release()
      return result
    } catch (thrown) {
      client.release(true)
      // Another process may have removed a day, or somebody the schema.
      partitions.clear()
      isMade = false
      throw thrown
    }
  }
  const keep = async (rows: readonly RowToInsert[]): Promise<number> => {
    try {
      return await withClient(async (client) => {
        await makePartitions(client, schema, rows, partitions)
        return insertOnce(client, schema, rows)
      })
    } catch (thrown) {
      if (!UNSTORABLE.test(sqlStateOf(thrown) ?? '')) throw thrown
      if (rows.length === 1) {
        const [{ row, values }] = rows as [RowToInsert]
        if (values.reason === 'not-storable') throw thrown
        return keep([undecodableRow(row, 'not-storable')])
      }
      const half = rows.length >> 1
      return (await keep(rows.slice(0, half))) + (await keep(rows.slice(half)))
    }
  }
  return {
    keep: (rows) => keep(rows.map(rowToInsert)),
    tidy: () => withClient((client) => retire(client, schema, options, clock.wallMs())),
    close: () => pool.end(),
  }
}

async function makePartitions(
  client: pg.ClientBase,
  schema: string,
  rows: readonly RowToInsert[],
  known: Set<string>,
): Promise<void> {
  for (const { table, day } of rows) {
    const name = partitionOf(schema, table, day)
    if (known.has(name)) continue
    await makePartition(client, schema, table, day)
    known.add(name)
  }
}

/** Resolves with how many were new. */
async function insertOnce(client: pg.ClientBase, schema: string, incoming: readonly RowToInsert[]): Promise<number> {
  await client.query('BEGIN')
  const sieve = await sieveOf(
    client,
    schema,
    incoming.map(({ row }) => row),
  )
  const sifting = sieve.begin()
  const fresh = incoming.filter(({ row }) => sifting.isNew(row))
  for (const [table, rows] of Map.groupBy(fresh, (one) => one.table)) {
    for (const group of groupsOf(rows)) await client.query(INSERTS.get(table)!(schema), [JSON.stringify(group)])
  }
  const places = [...sifting.taken.places].map(([source, { bounds }]) => ({ source: plain(source), bounds }))
  await client.query(
    `INSERT INTO ${schema}.places SELECT source, bounds, now() FROM json_to_recordset($1) AS x (source text, bounds bigint[])
     ON CONFLICT (source) DO UPDATE SET bounds = excluded.bounds, seen = excluded.seen`,
    [JSON.stringify(places)],
  )
  await client.query(`INSERT INTO ${schema}.drops SELECT unnest($1::text[]), now() ON CONFLICT DO NOTHING`, [
    [...sifting.taken.drops],
  ])
  await client.query('COMMIT')
  return fresh.length
}

/** Holds the places of all sources that are concerned until the transaction ends. */
async function sieveOf(client: pg.ClientBase, schema: string, rows: readonly IncomingRow[]): Promise<Sieve> {
  const sources = [...new Set(rows.map(({ source, epoch }) => plain(`${source}@${epoch}`)))].sort()
  await client.query(
    `INSERT INTO ${schema}.places SELECT unnest($1::text[]), '{}', now() ON CONFLICT (source) DO NOTHING`,
    [sources],
  )
  const found = await client.query(
    `SELECT source, bounds FROM ${schema}.places WHERE source = ANY ($1) ORDER BY source FOR UPDATE`,
    [sources],
  )
  const known = found.rows as readonly { readonly source: string; readonly bounds: readonly string[] }[]
  const places = new Map(known.map(({ source, bounds }) => [source, new Intervals(bounds.map(Number))]))
  const drops = rows.map(dropIdOf).filter((id) => id !== null)
  const there =
    drops.length === 0 ? [] : (await client.query(`SELECT id FROM ${schema}.drops WHERE id = ANY ($1)`, [drops])).rows
  const dropped = new Set((there as { readonly id: string }[]).map(({ id }) => id))
  return new Sieve({
    places: (source) => places.get(plain(source)) ?? new Intervals(),
    hasDrop: (id) => dropped.has(id),
  })
}

/** Sources come in headers, whose bytes may be anything. */
function plain(source: string): string {
  return source.toWellFormed().replaceAll('\0', '\uFFFD')
}

function groupsOf(rows: readonly RowToInsert[]): object[][] {
  const groups: object[][] = []
  let characters = Number.POSITIVE_INFINITY
  for (const { row, values } of rows) {
    characters += row.document.length
    if (characters > INSERT_CHARACTERS_MAX) {
      groups.push([])
      characters = row.document.length
    }
    groups.at(-1)!.push(values)
  }
  return groups
}

const INSERTS: ReadonlyMap<TableName, (schema: string) => string> = new Map(
  TABLES.map(({ name, columns }) => {
    const all = [
      ...columns.map((one) => [one.name, postgresType(one)] as const),
      ...PLACE_TYPES,
      ['day', 'date'] as const,
    ]
    const names = all.map(([column]) => column).join(', ')
    const types = all.map(([column, type]) => `${column} ${type}`).join(', ')
    return [
      name,
      (schema) =>
        `INSERT INTO ${rowsTable(schema, name)} (${names}) SELECT ${names} FROM json_to_recordset($1) AS x (${types})`,
    ]
  }),
)

/** Rows that the server cannot take, however often they are offered: data, and limits of the program. */
const UNSTORABLE = /^(22|54)...$/
/** Of one statement. */
const INSERT_CHARACTERS_MAX = 8 * 1024 * 1024
/** One to write, one to tidy. */
const CONNECTIONS_MAX = 2
