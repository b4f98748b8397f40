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
  #client: Promise<pg.Client> | null = null

  constructor(url: string, log: Logger) {
    this.#url = url
    this.#log = log
  }

  async tryLock(name: string): Promise<boolean> {
    const client = await this.#connected()
    const { rows } = await client.query<{ locked: boolean }>(
      'SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS locked',
      [name],
    )
    return rows[0]!.locked
  }

  async unlock(name: string): Promise<void> {
    const client = await this.#client
    await client?.query('SELECT pg_advisory_unlock(hashtextextended($1, 0))', [name]).catch(() => {})
  }

  async close(): Promise<void> {
    const client = await this.#client?.catch(() => null)
    await client?.end()
  }

  #connected(): Promise<pg.Client> {
    this.#client ??= this.#connect().catch((error) => {
      this.#client = null
      throw error
    })
    return this.#client
  }

  async #connect(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: this.#url })
    client.on('error', (error) => this.#log.warn({ err: error }, 'The connection that holds the locks was lost.'))
    client.on('end', () => (this.#client = null))
    await client.connect()
    return client
  }
}

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
