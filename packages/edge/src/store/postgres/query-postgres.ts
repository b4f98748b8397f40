import { type Clock, systemClock } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import type pg from 'pg'
import { type QueryLimits, resolveLimits } from '../query/limits.ts'
import type { Answered } from '../query/query-process.ts'
import { checkStatement, extended } from './check-statement.ts'
import { loadPostgres, postgresConfig, sqlStateOf } from './connect.ts'
import { typesOf } from './result-values.ts'
import { readerOf, SCHEMA_DEFAULT, type ViewSetting } from './schema.ts'

interface Given extends QueryLimits {
  readonly schema?: string
  readonly signal?: AbortSignal
  readonly clock?: Clock
}

/**
 * Answers one SELECT over the rows that are in the store at this moment, as `queryLogs` does; memory and threads are the
 * server's to limit. Throws LOGS_UNAVAILABLE, QUERY_REFUSED, QUERY_LIMIT, BAD_REQUEST.
 */
export async function* queryPostgres(
  url: string,
  given: string,
  { schema = SCHEMA_DEFAULT, signal, clock = systemClock, ...limitsGiven }: Given = {},
): AsyncGenerator<Answered> {
  const { timeoutMs, rowsMax, sinceMs } = resolveLimits(limitsGiven)
  const sql = given.replace(/;\s*$/, '')
  await using session = await openSession(url, timeoutMs)
  const { client } = session
  const timeOver = new AbortController()
  const timer = clock.timer(timeoutMs, () => timeOver.abort(tooSlow(timeoutMs)))
  const ending = signal === undefined ? timeOver.signal : AbortSignal.any([timeOver.signal, signal])
  const cancel = () => void session.cancel()
  ending.addEventListener('abort', cancel, { once: true })
  try {
    ending.throwIfAborted()
    yield* ask(client, { schema, sql, rowsMax, ending, settings: { since: isoTime(sinceMs) } })
  } catch (thrown) {
    ending.throwIfAborted()
    throw refusal(thrown, timeoutMs)
  } finally {
    timer.cancel()
    ending.removeEventListener('abort', cancel)
  }
}

interface Asked {
  readonly schema: string
  readonly sql: string
  readonly rowsMax: number
  readonly ending: AbortSignal
  /** What the views leave out; empty for nothing. */
  readonly settings: Partial<Readonly<Record<ViewSetting, string>>>
}

/** Leaves no transaction behind. */
export async function* ask(
  client: pg.Client,
  { schema, sql, rowsMax, ending, settings }: Asked,
): AsyncGenerator<Answered> {
  await checkStatement(client, schema, sql)
  await begin(client, schema, settings)
  try {
    await client.query(extended(`DECLARE asked NO SCROLL CURSOR FOR ${sql}`))
    for (let left = rowsMax, isFirst = true; ; isFirst = false) {
      const count = Math.min(left + 1, FETCH_ROWS)
      const { fields, rows } = await client.query<unknown[]>({ text: `FETCH ${count} FROM asked`, rowMode: 'array' })
      ending.throwIfAborted()
      if (isFirst) yield { columns: await columnsOf(client, fields) }
      if (rows.length > 0 && left > 0) yield { rows: rows.slice(0, left) }
      if (rows.length > left || rows.length < count) {
        yield { end: { truncated: rows.length > left } }
        return
      }
      left -= rows.length
    }
  } finally {
    await client.query('ROLLBACK').catch(() => {})
  }
}

/** A connection of one query: nothing that SQL does to it outlives it. */
export async function openSession(url: string, timeoutMs: number) {
  const pgModule = await loadPostgres()
  const connect = async (types?: pg.CustomTypesConfig) => {
    const client = new pgModule.Client({
      ...postgresConfig(url, timeoutMs),
      statement_timeout: timeoutMs,
      ...(types === undefined ? {} : { types }),
    })
    client.on('error', () => {})
    await client.connect().catch((thrown: unknown) => {
      throw unavailable(thrown)
    })
    return client
  }
  const client = await connect(typesOf(pgModule))
  return {
    client,
    /** Ends what runs on it; that it cannot be told is no harm, as the statement has its own time. */
    async cancel() {
      const { processID } = client as pg.Client & { readonly processID?: number }
      try {
        const other = await connect()
        await other.query('SELECT pg_cancel_backend($1)', [processID ?? null])
        await other.end()
      } catch {}
    },
    [Symbol.asyncDispose]: () => client.end().catch(() => {}),
  }
}

/** Of the views only, where that role could be made; and nothing is written in any case. */
async function begin(client: pg.Client, schema: string, settings: Asked['settings']): Promise<void> {
  const reader = readerOf(schema)
  const { rows } = await client.query(
    `SELECT coalesce((SELECT pg_has_role(oid, 'MEMBER') AND has_schema_privilege(oid, $2, 'USAGE')
       FROM pg_roles WHERE rolname = $1), false) AS can`,
    [reader, schema],
  )
  const limits = Object.entries(settings).map(([name, value]) => `SET LOCAL forebay_logs.${name} = '${value}';`)
  await client.query(`BEGIN READ ONLY;
    SET LOCAL search_path = ${schema};
    SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'; SET LOCAL IntervalStyle = 'postgres';
    ${limits.join(' ')}`)
  if ((rows as { readonly can: boolean }[])[0]!.can) await client.query(`SET LOCAL ROLE ${reader}`)
}

async function columnsOf(client: pg.Client, fields: readonly pg.FieldDef[]) {
  const { rows } = await client.query<unknown[]>({
    text: 'SELECT format_type(id, NULL) FROM unnest($1::oid[]) WITH ORDINALITY AS x (id, place) ORDER BY place',
    values: [fields.map(({ dataTypeID }) => dataTypeID)],
    rowMode: 'array',
  })
  return fields.map(({ name }, index) => ({ name, type: String(rows[index]?.[0]) }))
}

function isoTime(ms: number | undefined): string {
  return ms === undefined ? '' : new Date(ms).toISOString()
}

export function refusal(thrown: unknown, timeoutMs: number): unknown {
  const state = sqlStateOf(thrown)
  if (thrown instanceof ForebayError) return thrown
  const { message } = thrown as Error
  if (state === null || /^(08|57P|58)/.test(state)) return unavailable(thrown)
  if (state === '57014') return tooSlow(timeoutMs)
  if (state.startsWith('53') || state.startsWith('54'))
    return new ForebayError('QUERY_LIMIT', message, { cause: thrown })
  return new ForebayError('QUERY_REFUSED', message, { cause: thrown })
}

function unavailable(thrown: unknown): ForebayError {
  const message = `PostgreSQL, which keeps the logs, cannot be asked now (${(thrown as Error).message}).`
  return new ForebayError('STORE_UNAVAILABLE', message, { cause: thrown, retryAfterS: 1 })
}

function tooSlow(timeoutMs: number): ForebayError {
  const message = `The query took longer than ${timeoutMs / 1000} s: ask for less time (--since), or allow more (--timeout).`
  return new ForebayError('QUERY_LIMIT', message)
}

const FETCH_ROWS = 1_000
