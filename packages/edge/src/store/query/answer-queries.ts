import { createInterface } from 'node:readline'
import type { DuckDBConnection, DuckDBPreparedStatement, DuckDBType } from '@duckdb/node-api'
import { type Duck, loadDuck, openDuck, sqlText } from '../duck.ts'
import type { Ask, Said, Setup } from './messages.ts'

/**
 * The program of a process that answers queries and nothing else: whatever SQL may do to it, it does to this process. It
 * reads lines on stdin and ends with it.
 */
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

async function main(): Promise<void> {
  const setup = await nextLine<Setup>()
  if (setup === null) return
  const duck = await loadDuck()
  const connection = await openSandbox(duck, setup)
  for (let ask = await nextLine<Ask>(); ask !== null; ask = await nextLine<Ask>()) {
    try {
      await answer(duck, connection, ask)
    } catch (thrown) {
      await say({ error: errorOf(thrown) })
    }
  }
}

/** After this no SQL reads or writes any other file, reaches a network, loads anything, or changes a setting. */
async function openSandbox(duck: Duck, { dir, memoryBytes, threads }: Setup): Promise<DuckDBConnection> {
  const { connection } = await openDuck(duck, { threads, memoryBytes })
  await connection.run(`SET allowed_directories = [${sqlText(dir)}]`)
  await connection.run('SET enable_external_access = false')
  await connection.run('SET lock_configuration = true')
  return connection
}

async function answer(duck: Duck, connection: DuckDBConnection, { views, sql, rowsMax }: Ask): Promise<void> {
  for (const [name, select] of views) await connection.run(`CREATE OR REPLACE VIEW ${name} AS ${select}`)
  const statement = await prepareSelect(duck, connection, sql)
  const result = await statement.stream()
  const types = result.columnTypes()
  const names = result.deduplicatedColumnNames()
  await say({ columns: names.map((name, index) => ({ name, type: String(types[index]) })) })
  const convert = types.map((type) => converterOf(duck, type))
  let left = rowsMax
  let isMore = false
  for await (const chunk of result.yieldRowsJson()) {
    if (chunk.length === 0) continue
    isMore = chunk.length > left
    const rows = chunk.slice(0, left).map((row) => row.map((value, column) => convert[column]!(value)))
    if (rows.length > 0) await say({ rows })
    left -= rows.length
    if (isMore) break
  }
  await say({ end: { truncated: isMore } })
}

/**
 * The folder may be written to as far as the engine is concerned, so only what cannot write gets there. Told by the parser
 * alone: to prepare some statements (EXPORT DATABASE) already makes folders.
 */
async function prepareSelect(duck: Duck, connection: DuckDBConnection, sql: string): Promise<DuckDBPreparedStatement> {
  const parsed = await connection.runAndReadAll('SELECT json_serialize_sql($1::VARCHAR)', [sql])
  const tree = JSON.parse(String(parsed.getRows()[0]?.[0])) as Parsed
  if (tree.error) {
    const isOther = tree.error_type === 'not implemented'
    throw new Refusal(isOther ? 'Only SELECT is answered here.' : `${tree.error_message}`)
  }
  const count = tree.statements?.length ?? 0
  if (count !== 1) throw new Refusal(`Write one SELECT; here are ${count}.`)
  const statement = await connection.prepare(sql)
  if (statement.statementType !== duck.StatementType.SELECT) throw new Refusal('Only SELECT is answered here.')
  if (statement.parameterCount > 0) throw new Refusal('There are no values for parameters here.')
  return statement
}

interface Parsed {
  readonly error: boolean
  readonly error_type?: string
  readonly error_message?: string
  readonly statements?: readonly unknown[]
}

class Refusal extends Error {}

type Convert = (value: unknown) => unknown

/** Numbers as numbers where they fit, times as ISO 8601, the rest as the engine writes it as JSON. */
function converterOf({ DuckDBTypeId: id }: Duck, type: DuckDBType): Convert {
  switch (type.typeId) {
    case id.BIGINT:
    case id.UBIGINT:
    case id.HUGEINT:
    case id.UHUGEINT:
      return (value) => (typeof value === 'string' && Number.isSafeInteger(Number(value)) ? Number(value) : value)
    case id.DECIMAL:
      return (value) => (typeof value === 'string' ? Number(value) : value)
    case id.TIMESTAMP:
    case id.TIMESTAMP_TZ:
      return (value) => (typeof value === 'string' ? isoTime(value) : value)
    default:
      return (value) => value
  }
}

/** '2026-11-21 13:55:01.123', all of it in UTC. */
function isoTime(text: string): string {
  const [, day, time] = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)(?:\+00)?$/.exec(text) ?? []
  return day === undefined ? text : `${day}T${time}Z`
}

function errorOf(thrown: unknown): Extract<Said, { error: unknown }>['error'] {
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  if (/^Out of Memory Error|Allocation failure/i.test(message)) return { kind: 'limit', message }
  const isOurs = /^(IO|INTERNAL|FATAL) Error/.test(message)
  return { kind: isOurs ? 'failed' : 'refused', message }
}

async function nextLine<T>(): Promise<T | null> {
  const { done, value } = await lines.next()
  return done ? null : (JSON.parse(value) as T)
}

async function say(said: Said): Promise<void> {
  if (process.stdout.write(`${JSON.stringify(said)}\n`)) return
  await new Promise((resolve) => process.stdout.once('drain', resolve))
}

await main()
