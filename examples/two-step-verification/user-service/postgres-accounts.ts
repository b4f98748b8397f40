import { postgresOutbox } from '@forebay/events'
import pg from 'pg'
import type { Logger } from 'pino'
import type { Account } from './account.ts'
import { type AccountStore, SOURCE } from './account-store.ts'

const CONNECTIONS_MAX = 10

/** As many processes as you like may serve one database: the lock of an address is the database's. */
export async function openPostgresAccounts(url: string, log: Logger): Promise<AccountStore> {
  const pool = new pg.Pool({ connectionString: url, max: CONNECTIONS_MAX })
  // Of a connection that nobody uses at the moment; the next query gets another.
  pool.on('error', (error) => log.warn({ err: error }, 'A connection to the database was lost.'))
  const outbox = postgresOutbox({ source: SOURCE })
  try {
    await pool.query(TABLE)
    await outbox.migrate(pool)
  } catch (error) {
    await pool.end()
    throw error
  }
  return {
    async change(address, { traceparent }, decide) {
      const client = await pool.connect()
      let failure: Error | undefined
      try {
        await client.query('BEGIN')
        // Not a row's lock: of an address that is new there is no row yet.
        await client.query(`SELECT pg_advisory_xact_lock(hashtextextended($1, ${LOCKS_OF_ADDRESSES}))`, [address])
        const { rows } = await client.query<Row>(SELECT, [address])
        const { account, happened, answer } = decide(rows[0] === undefined ? null : accountOf(rows[0]))
        if (account !== null) await client.query(WRITE, valuesOf(account))
        await happened?.publishBy((definition, event) => outbox.publish(client, definition, { ...event, traceparent }))
        await client.query('COMMIT')
        return answer
      } catch (error) {
        failure = error instanceof Error ? error : new Error(String(error))
        throw error
      } finally {
        // A connection whose transaction failed is closed, which rolls it back.
        client.release(failure)
      }
    },
    outboxRows: () => outbox.rows(pool, { listener: () => new pg.Client({ connectionString: url }) }),
    close: () => pool.end(),
  }
}

/** Any number; locks of other kinds have another. */
const LOCKS_OF_ADDRESSES = 1
const TABLE = `SELECT pg_advisory_xact_lock(hashtext('accounts'));
CREATE TABLE IF NOT EXISTS accounts (
  address text PRIMARY KEY,
  user_id text NOT NULL UNIQUE,
  email text NOT NULL,
  first_name text NOT NULL,
  last_name text NOT NULL,
  verified_ms float8,
  code jsonb NOT NULL,
  codes_made jsonb NOT NULL
)`
const SELECT = 'SELECT * FROM accounts WHERE address = $1'
const WRITE = `INSERT INTO accounts (address, user_id, email, first_name, last_name, verified_ms, code, codes_made)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
  ON CONFLICT (address) DO UPDATE SET email = excluded.email, first_name = excluded.first_name,
    last_name = excluded.last_name, verified_ms = excluded.verified_ms, code = excluded.code,
    codes_made = excluded.codes_made`

interface Row {
  readonly address: string
  readonly user_id: string
  readonly email: string
  readonly first_name: string
  readonly last_name: string
  readonly verified_ms: number | null
  readonly code: Account['code']
  readonly codes_made: readonly number[]
}

function accountOf(row: Row): Account {
  return {
    userId: row.user_id,
    address: row.address,
    email: row.email,
    firstName: row.first_name,
    lastName: row.last_name,
    verifiedMs: row.verified_ms,
    code: row.code,
    codesMadeMs: row.codes_made,
  }
}

function valuesOf({ address, userId, email, firstName, lastName, verifiedMs, code, codesMadeMs }: Account): unknown[] {
  return [address, userId, email, firstName, lastName, verifiedMs, JSON.stringify(code), JSON.stringify(codesMadeMs)]
}
