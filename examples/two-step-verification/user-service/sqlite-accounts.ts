import { DatabaseSync } from 'node:sqlite'
import { sqliteOutbox } from '@forebay/events'
import type { Account } from './account.ts'
import { type AccountStore, SOURCE } from './account-store.ts'

/** Waits so long for the lock of the file, which the relay takes for moments. ms */
const LOCK_WAIT_MS = 5_000

/** The laptop's form. All of a change happens in one turn, so nobody comes between. */
export function openSqliteAccounts(path: string): AccountStore {
  const database = new DatabaseSync(path, { timeout: LOCK_WAIT_MS })
  const outbox = sqliteOutbox({ source: SOURCE })
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
  database.exec(TABLE)
  outbox.migrate(database)
  const select = database.prepare('SELECT * FROM accounts WHERE address = ?')
  const write = database.prepare(`INSERT INTO accounts
    (address, user_id, email, first_name, last_name, verified_at, code, codes_made) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (address) DO UPDATE SET email = excluded.email, first_name = excluded.first_name,
      last_name = excluded.last_name, verified_at = excluded.verified_at, code = excluded.code,
      codes_made = excluded.codes_made`)

  return {
    async change(address, { traceparent }, decide) {
      database.exec('BEGIN IMMEDIATE')
      try {
        const row = select.get(address)
        const { account, happened, answer } = decide(row === undefined ? null : accountOf(row))
        if (account !== null) write.run(...valuesOf(account))
        happened?.publishBy((definition, event) => outbox.publish(database, definition, { ...event, traceparent }))
        database.exec('COMMIT')
        return answer
      } catch (error) {
        if (database.isTransaction) database.exec('ROLLBACK')
        throw error
      }
    },
    outboxRows: () => outbox.rows(path),
    async close() {
      if (database.isOpen) database.close()
    },
  }
}

const TABLE = `CREATE TABLE IF NOT EXISTS accounts (
  address TEXT PRIMARY KEY,
  user_id TEXT NOT NULL UNIQUE,
  email TEXT NOT NULL,
  first_name TEXT NOT NULL,
  last_name TEXT NOT NULL,
  verified_at INTEGER,
  code TEXT NOT NULL,
  codes_made TEXT NOT NULL
) STRICT`

type Row = Readonly<Record<string, unknown>>

function accountOf(row: Row): Account {
  return {
    userId: String(row.user_id),
    address: String(row.address),
    email: String(row.email),
    firstName: String(row.first_name),
    lastName: String(row.last_name),
    verifiedMs: row.verified_at === null ? null : Number(row.verified_at),
    code: JSON.parse(String(row.code)),
    codesMadeMs: JSON.parse(String(row.codes_made)),
  }
}

function valuesOf({ address, userId, email, firstName, lastName, verifiedMs, code, codesMadeMs }: Account) {
  const json = [JSON.stringify(code), JSON.stringify(codesMadeMs)] as const
  return [address, userId, email, firstName, lastName, verifiedMs, ...json] as const
}
