import { type EventIdentity, postgresInbox } from '@forebay/events'
import pg from 'pg'
import type { Logger } from 'pino'
import { GROUP, HeldHere, type MailLedger, type MailState } from './mail-ledger.ts'

const CONNECTIONS_MAX = 10

/** For any number of processes. What one holds are locks of one connection, which the server drops when that ends. */
export async function openPostgresMailLedger(url: string, log: Logger): Promise<MailLedger> {
  const pool = new pg.Pool({ connectionString: url, max: CONNECTIONS_MAX })
  pool.on('error', (error) => log.warn({ err: error }, 'A connection to the database was lost.'))
  const inbox = postgresInbox({ group: GROUP })
  try {
    await pool.query(TABLE)
    await inbox.migrate(pool)
  } catch (error) {
    await pool.end()
    throw error
  }
  const held = new HeldHere()
  const locks = new LockConnection(url, log)

  return {
    async begin(event, { messageId, kind }) {
      const { source, id } = event
      const client = await pool.connect()
      let failure: Error | undefined
      try {
        await client.query('BEGIN')
        await inbox.once(client, event, () => client.query(INSERT, [source, id, kind, messageId]))
        await client.query('COMMIT')
        const { rows } = await client.query<{ state: MailState }>(SELECT, [source, id])
        return rows[0]?.state ?? 'sent'
      } catch (error) {
        failure = error instanceof Error ? error : new Error(String(error))
        throw error
      } finally {
        client.release(failure)
      }
    },
    async end({ source, id }, state, answer) {
      await pool.query(UPDATE, [source, id, state, answer])
    },
    async hold(event) {
      // The same connection may take a lock twice, so what this process holds is asked first.
      if (!held.take(event)) return null
      const isOurs = await locks.tryLock(nameOf(event)).catch((error) => {
        held.release(event)
        throw error
      })
      if (!isOurs) {
        held.release(event)
        return null
      }
      return {
        async release() {
          held.release(event)
          await locks.unlock(nameOf(event))
        },
      }
    },
    async sweep(retentionMs) {
      await inbox.sweep(pool, retentionMs)
      await pool.query(`DELETE FROM mails WHERE at < clock_timestamp() - $1::float8 * interval '1 ms'`, [retentionMs])
    },
    async close() {
      await locks.close()
      await pool.end()
    },
  }
}

/** One connection that is made again when it was lost; its locks were gone with it. */
class LockConnection {
  readonly #url: string
  readonly #log: Logger
  #client: pg.Client | null = null
  /** A connection does one thing at a time. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(url: string, log: Logger) {
    this.#url = url
    this.#log = log
  }

  tryLock(name: string): Promise<boolean> {
    return this.#inTurn(async () => {
      this.#client ??= await this.#connect()
      const { rows } = await this.#client.query<{ locked: boolean }>(TRY_LOCK, [name])
      return rows[0]!.locked
    })
  }

  /** Without a connection there is no lock. */
  async unlock(name: string): Promise<void> {
    await this.#inTurn(async () => this.#client?.query(UNLOCK, [name])).catch(() => {})
  }

  async close(): Promise<void> {
    await this.#inTurn(async () => this.#client?.end())
  }

  #inTurn<Result>(act: () => Promise<Result>): Promise<Result> {
    const done = this.#turn.then(act)
    this.#turn = done.catch(() => {})
    return done
  }

  async #connect(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: this.#url })
    client.on('error', (error) => {
      this.#log.warn({ err: error }, 'The connection that holds the locks was lost.')
      if (this.#client === client) this.#client = null
    })
    await client.connect()
    return client
  }
}

const TRY_LOCK = 'SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS locked'
const UNLOCK = 'SELECT pg_advisory_unlock(hashtextextended($1, 0))'
const TABLE = `SELECT pg_advisory_xact_lock(hashtext('mails'));
CREATE TABLE IF NOT EXISTS mails (
  source text NOT NULL,
  id text NOT NULL,
  kind text NOT NULL,
  message_id text NOT NULL,
  state text NOT NULL,
  answer text NOT NULL DEFAULT '',
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (source, id)
)`
const INSERT = `INSERT INTO mails (source, id, kind, message_id, state) VALUES ($1, $2, $3, $4, 'sending')`
const SELECT = 'SELECT state FROM mails WHERE source = $1 AND id = $2'
const UPDATE = `UPDATE mails SET state = $3, answer = $4, at = clock_timestamp() WHERE source = $1 AND id = $2`

function nameOf({ source, id }: EventIdentity): string {
  return `${source}\n${id}`
}
