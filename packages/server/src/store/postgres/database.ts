import { ForebayError } from '@forebay/protocol'
import pg from 'pg'

/**
 * Connections to one PostgreSQL, which it opens, shares and opens again by itself. Each call is one statement of its own
 * transaction: nothing of a connection outlives a statement (no prepared names, no settings), so a pooler in
 * transaction mode may stand between, and a process that stops holds no lock.
 */
export class Database {
  /** 'host:port', as errors name it. */
  readonly address: string
  readonly #pool: pg.Pool
  #asked = 0
  #idle: (() => void) | null = null

  constructor(url: string, connectionsMax: number) {
    const config = readUrl(url)
    this.address = `${config.host}:${config.port}`
    this.#pool = new pg.Pool({
      connectionString: url,
      max: connectionsMax,
      application_name: 'forebay',
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: STATEMENT_TIMEOUT_MS,
      idleTimeoutMillis: IDLE_TIMEOUT_MS,
      keepAlive: true,
      types: { getTypeParser },
    })
    // A connection that breaks while nobody uses it is replaced by the next call.
    this.#pool.on('error', () => {})
  }

  /**
   * The rows of one statement. Throws STORE_UNAVAILABLE after `CONNECT_TIMEOUT_MS` + `STATEMENT_TIMEOUT_MS` at the
   * latest: whether it was carried out is then unknown.
   */
  async rows<Row>(text: string, values: readonly unknown[] = []): Promise<readonly Row[]> {
    const { rows } = await this.#ask({ text, values: [...values] })
    return rows
  }

  /** Several statements, without values; may take long. */
  async script(text: string): Promise<void> {
    await this.#ask({ text, query_timeout: SCRIPT_TIMEOUT_MS } as pg.QueryConfig)
  }

  /** Waits for what was asked, and lets go of the connections. */
  async close(): Promise<void> {
    if (this.#asked > 0) await new Promise<void>((resolve) => (this.#idle = resolve))
    await this.#pool.end()
  }

  async #ask(query: pg.QueryConfig): Promise<pg.QueryResult> {
    this.#asked += 1
    try {
      return await this.#run(query)
    } catch (error) {
      throw storeError(this.address, error)
    } finally {
      this.#asked -= 1
      if (this.#asked === 0) this.#idle?.()
    }
  }

  /** A connection goes on after a statement that the server has refused, and only then. */
  async #run(query: pg.QueryConfig): Promise<pg.QueryResult> {
    const client = await this.#pool.connect()
    // What it reports beside a statement, the statement fails by as well.
    client.on('error', ignore)
    try {
      const result = await client.query(query)
      client.off('error', ignore)
      client.release()
      return result
    } catch (error) {
      client.off('error', ignore)
      const goesOn = sqlStateOf(error) !== null && query.values !== undefined
      client.release(goesOn ? undefined : true)
      throw error
    }
  }
}

const ignore = () => {}

/** Longest wait for a connection, be it a new one or one that others use. */
export const CONNECT_TIMEOUT_MS = 5_000
/** Longest wait for an answer. */
export const STATEMENT_TIMEOUT_MS = 10_000
/** Of a migration. */
const SCRIPT_TIMEOUT_MS = 600_000
const IDLE_TIMEOUT_MS = 60_000
const POSTGRES_PORT = 5432

function readUrl(url: string): { host: string; port: number } {
  try {
    const { hostname, port, searchParams } = new URL(url)
    return { host: hostname || searchParams.get('host') || 'localhost', port: Number(port) || POSTGRES_PORT }
  } catch {
    throw new ForebayError('CONFIG_INVALID', 'url: is not of the form postgres://user:password@host:port/database.')
  }
}

/** Numbers of 64 bits come as numbers: ours are offsets, counts and moments, all below 2^53. */
function getTypeParser(oid: number): (value: string) => unknown {
  return oid === INT8 ? Number : pg.types.getTypeParser(oid, 'text')
}

const INT8 = 20

/**
 * What a caller should hear. A server that is away, overloaded, starting, failing over or in want of room may be asked
 * again; anything else is a fault of ours.
 */
function storeError(address: string, error: unknown): ForebayError {
  const { code, message } = error as { code?: string; message: string }
  const reason = [code, message].filter(Boolean).join(': ') || 'no reason given'
  const state = sqlStateOf(error)
  if (state !== null && !PASSING.test(state)) {
    return new ForebayError('INTERNAL', `PostgreSQL at ${address} refused a statement (${reason}).`, { cause: error })
  }
  const text = `PostgreSQL at ${address} cannot be used now (${reason}).`
  return new ForebayError('STORE_UNAVAILABLE', text, { cause: error, members: { address }, retryAfterS: RETRY_AFTER_S })
}

/** What the server said of a statement; null where it said nothing. */
export function sqlStateOf(error: unknown): string | null {
  const said = error instanceof ForebayError ? error.cause : error
  return said instanceof pg.DatabaseError ? (said.code ?? null) : null
}

/** Connection, transaction rollback, resources, operator's intervention, its system; read-only; locks; authorization. */
const PASSING = /^(08|40|53|57|58|28)...$|^(25006|55P03|3D000)$/
const RETRY_AFTER_S = 1
