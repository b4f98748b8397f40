import { ForebayError } from '@forebay/protocol'
import type { AdminAnswer, AdminRequest, AdminRoute } from '../accept/admin-routes.ts'
import type { LogQueries, LogQuestion } from './log-queries.ts'

/** What operators ask of the logs; each run is a process of its own, so they are few. */
export const LOG_READERS_MAX = 4

/** Queries over the logs of the edge; null where this process has none. */
export function logRoutes(queries: LogQueries | null): readonly AdminRoute[] {
  let readers = 0
  return [
    { method: 'POST', path: '/v1/admin/logs/query', action: 'logs.query', handle: query },
    { method: 'POST', path: '/v1/admin/logs/tail', action: 'logs.tail', handle: tail },
  ]

  async function query({ body, signal }: AdminRequest): Promise<AdminAnswer> {
    const fields = readFields(body, { sql: 'string', rowsMax: 'number', timeoutMs: 'number', sinceMs: 'number' })
    if (fields.sql === undefined) throw wrong('sql', 'is missing', 'Write {"sql":"SELECT …"}.')
    const question = fields as unknown as LogQuestion
    return open((asked) => asked.query(question, signal))
  }

  async function tail({ body, signal }: AdminRequest): Promise<AdminAnswer> {
    const fields = readFields(body, { table: 'string', where: 'string' })
    return open((asked) => asked.tail(fields, signal))
  }

  /** The first line is waited for, so that what is refused has its own status. */
  async function open(ask: (queries: LogQueries) => AsyncIterable<object>) {
    if (queries === null) {
      throw new ForebayError('LOGS_UNAVAILABLE', 'This process keeps no logs: ask one with role logs and edge.logs.')
    }
    if (readers >= LOG_READERS_MAX) {
      const message = `${LOG_READERS_MAX} queries over the logs are running; each is a process of its own.`
      throw new ForebayError('OVERLOADED', message, { retryAfterS: 1 })
    }
    readers++
    try {
      const lines = ask(queries)[Symbol.asyncIterator]()
      const first = await lines.next()
      return { status: 200, ndjson: rest(first, lines) }
    } catch (thrown) {
      readers--
      throw thrown
    }
  }

  async function* rest(first: IteratorResult<object>, lines: AsyncIterator<object>): AsyncGenerator<object> {
    try {
      for (let next = first; !next.done; next = await lines.next()) yield next.value
    } finally {
      readers--
      await lines.return?.()
    }
  }
}

type FieldTypes = Readonly<Record<string, 'string' | 'number'>>

function readFields(body: Uint8Array, types: FieldTypes): Readonly<Record<string, string>> {
  let given: unknown
  try {
    given = body.length === 0 ? {} : JSON.parse(Buffer.from(body).toString())
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown)
    throw new ForebayError('MALFORMED_JSON', `The body is not JSON: ${why}.`)
  }
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new ForebayError('BAD_REQUEST', 'The body must be a JSON object.')
  }
  for (const [name, value] of Object.entries(given)) {
    const type = types[name]
    if (type === undefined) throw wrong(name, 'is not known here', `Known are ${Object.keys(types).join(', ')}.`)
    if (typeof value !== type) throw wrong(name, `is no ${type}`, `Write a ${type}.`)
  }
  return given as Readonly<Record<string, string>>
}

function wrong(field: string, what: string, fix: string): ForebayError {
  return new ForebayError('BAD_REQUEST', `${field} ${what}. ${fix}`, { members: { field } })
}
