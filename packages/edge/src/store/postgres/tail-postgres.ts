import { systemClock } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import type pg from 'pg'
import { LIMITS_DEFAULT } from '../query/limits.ts'
import type { Answered } from '../query/query-process.ts'
import type { TailOptions } from '../query/tail-logs.ts'
import { TABLES } from '../tables.ts'
import { ask, openSession, refusal } from './query-postgres.ts'
import { rowsTable, SCHEMA_DEFAULT } from './schema.ts'

/**
 * Rows as the store gets them, from now on, until the signal aborts, as `tailLogs` does. Each look takes the rows of the
 * transactions that have ended since the last one, whatever order they ended in; one that stays open for long holds back
 * what began after it.
 */
export async function* tailPostgres(
  url: string,
  {
    table: name = 'access',
    where = 'true',
    signal,
    clock = systemClock,
    schema = SCHEMA_DEFAULT,
  }: TailOptions & { readonly schema?: string } = {},
): AsyncGenerator<Exclude<Answered, { readonly end: unknown }>> {
  const table = TABLES.find((one) => one.name === name)
  if (table === undefined) {
    const message = `There is no table ${JSON.stringify(name)}: write one of ${TABLES.map((one) => one.name).join(', ')}.`
    throw new ForebayError('BAD_REQUEST', message, { members: { field: 'table' } })
  }
  const leaving = signal ?? new AbortController().signal
  const sql = `SELECT * FROM ${table.name} WHERE (${where}\n)`
  await using session = await openSession(url, LIMITS_DEFAULT.timeoutMs)
  const { client } = session
  const rows = rowsTable(schema, table.name)
  try {
    let from = await endOf(client)
    for (let isFirst = true; !leaving.aborted; isFirst = false) {
      const until = isFirst ? from : await endOf(client)
      const settings = { batch_from: from, batch_until: until }
      if (isFirst || (await hasRows(client, rows, from, until))) {
        for await (const part of ask(client, { schema, sql, rowsMax: ROWS_MAX, ending: leaving, settings })) {
          if ('rows' in part || ('columns' in part && isFirst)) yield part
        }
      }
      from = until
      await clock.sleep(LOOK_EVERY_MS, leaving)
    }
  } catch (thrown) {
    if (!leaving.aborted) throw refusal(thrown, LIMITS_DEFAULT.timeoutMs)
  }
}

/** Every transaction before this number has ended. */
async function endOf(client: pg.Client): Promise<string> {
  const { rows } = await client.query('SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS number')
  return (rows as { readonly number: string }[])[0]!.number
}

async function hasRows(client: pg.Client, table: string, from: string, until: string): Promise<boolean> {
  if (from === until) return false
  const found = await client.query(`SELECT FROM ${table} WHERE batch >= $1 AND batch < $2 LIMIT 1`, [from, until])
  return found.rows.length > 0
}

const LOOK_EVERY_MS = 300
const ROWS_MAX = Number.MAX_SAFE_INTEGER
