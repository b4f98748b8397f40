import { ForebayError } from '@forebay/protocol'
import type pg from 'pg'

/** Loaded only by whoever stores or asks. */
export async function loadPostgres(): Promise<typeof pg> {
  return (await import('pg')).default
}

/** Throws CONFIG_INVALID. */
export function postgresConfig(url: string, statementTimeoutMs = STATEMENT_TIMEOUT_MS): pg.ClientConfig {
  if (!/^postgres(ql)?:\/\//.test(url) || !URL.canParse(url)) {
    const message = 'edge.logs.store: is not of the form postgres://user:password@host:port/database.'
    throw new ForebayError('CONFIG_INVALID', message)
  }
  return {
    connectionString: url,
    application_name: 'forebay-logs',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: statementTimeoutMs + ANSWER_WITHIN_MS,
    keepAlive: true,
  }
}

/** What the server said of a statement; null where it said nothing. */
export function sqlStateOf(thrown: unknown): string | null {
  const { code, severity } = thrown as { readonly code?: unknown; readonly severity?: unknown }
  return typeof code === 'string' && severity !== undefined ? code : null
}

const CONNECT_TIMEOUT_MS = 5_000
/** Of what writes; queries have their own. */
const STATEMENT_TIMEOUT_MS = 20_000
/** After the time that a statement has: for its end to arrive. */
const ANSWER_WITHIN_MS = 2_000
