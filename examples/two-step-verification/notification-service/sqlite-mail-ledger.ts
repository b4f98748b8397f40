import { DatabaseSync } from 'node:sqlite'
import { sqliteInbox } from '@forebay/events'
import { GROUP, HeldHere, type MailLedger, type MailState } from './mail-ledger.ts'

const LOCK_WAIT_MS = 5_000

/** For one process: what it holds is held by nobody else. */
export function openSqliteMailLedger(path: string): MailLedger {
  const database = new DatabaseSync(path, { timeout: LOCK_WAIT_MS })
  const inbox = sqliteInbox({ group: GROUP })
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
  database.exec(TABLE)
  inbox.migrate(database)
  const held = new HeldHere()
  const insert = database.prepare(
    `INSERT INTO mails (source, id, kind, message_id, state, at) VALUES (?, ?, ?, ?, 'sending', ?)`,
  )
  const select = database.prepare('SELECT state FROM mails WHERE source = ? AND id = ?')
  const update = database.prepare('UPDATE mails SET state = ?, answer = ?, at = ? WHERE source = ? AND id = ?')

  return {
    async begin(event, { messageId, kind }) {
      const { source, id } = event
      database.exec('BEGIN IMMEDIATE')
      try {
        inbox.once(database, event, () => void insert.run(source, id, kind, messageId, Date.now()))
        database.exec('COMMIT')
      } catch (error) {
        if (database.isTransaction) database.exec('ROLLBACK')
        throw error
      }
      return (select.get(source, id)?.state ?? 'sent') as MailState
    },
    async end({ source, id }, state, answer) {
      update.run(state, answer, Date.now(), source, id)
    },
    async hold(event) {
      return held.take(event) ? { release: async () => held.release(event) } : null
    },
    async sweep(retentionMs) {
      inbox.sweep(database, retentionMs)
      database.prepare('DELETE FROM mails WHERE at < ?').run(Date.now() - retentionMs)
    },
    async close() {
      if (database.isOpen) database.close()
    },
  }
}

const TABLE = `CREATE TABLE IF NOT EXISTS mails (
  source TEXT NOT NULL,
  id TEXT NOT NULL,
  kind TEXT NOT NULL,
  message_id TEXT NOT NULL,
  state TEXT NOT NULL,
  answer TEXT NOT NULL DEFAULT '',
  at INTEGER NOT NULL,
  PRIMARY KEY (source, id)
) STRICT`
