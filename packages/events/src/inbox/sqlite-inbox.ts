import type { DatabaseSync } from 'node:sqlite'
import { ForebayError } from '@forebay/protocol'
import { type EventIdentity, type InboxOptions, resolveInbox, SWEEP_ROWS_MAX } from './inbox-options.ts'

/** Effects in a SQLite file once for each event, however often it comes. */
export interface SqliteInbox {
  /** SQL of the table; safe to run at any time. */
  migration(): string
  /** Runs it. */
  migrate(database: DatabaseSync): void
  /**
   * Runs `effect` unless this group has done it for this event (source and id); says whether it ran. `effect` works in the
   * caller's transaction, which must be open; one that throws must be followed by ROLLBACK. It returns nothing to wait for:
   * others would write into the same transaction meanwhile. Throws CONFIG_INVALID for either, and whatever SQLite says.
   */
  once(database: DatabaseSync, event: EventIdentity, effect: () => unknown): boolean
  /** Forgets events that were done longer ago than this; says how many. */
  sweep(database: DatabaseSync, retentionMs: number): number
}

/** Throws CONFIG_INVALID. */
export function sqliteInbox(options: InboxOptions): SqliteInbox {
  const { group, table } = resolveInbox(options)
  if (table.includes('.')) throw invalid(`table: SQLite has no schemas, got ${JSON.stringify(table)}`)
  const migration = migrationOf(table)
  return {
    migration: () => migration,
    migrate(database) {
      database.exec(migration)
    },
    once(database, { source, id }, effect) {
      if (!database.isTransaction) throw invalid('once: this database is in no transaction; BEGIN one first')
      const { changes } = database
        .prepare(`INSERT INTO ${table} (consumer_group, source, id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`)
        .run(group, source, id)
      if (Number(changes) !== 1) return false
      if (effect() instanceof Promise)
        throw invalid('once: the effect returned a promise; roll back, and do it without')
      return true
    },
    sweep(database, retentionMs) {
      const statement = database.prepare(`DELETE FROM ${table} WHERE rowid IN (
        SELECT rowid FROM ${table} WHERE consumer_group = ? AND done_at <= ${NOW} - ? LIMIT ?)`)
      let total = 0
      for (let removed = SWEEP_ROWS_MAX; removed === SWEEP_ROWS_MAX; total += removed) {
        removed = Number(statement.run(group, retentionMs, SWEEP_ROWS_MAX).changes)
      }
      return total
    },
  }
}

function migrationOf(table: string): string {
  return `CREATE TABLE IF NOT EXISTS ${table} (
  consumer_group TEXT NOT NULL,
  source TEXT NOT NULL,
  id TEXT NOT NULL,
  done_at INTEGER NOT NULL DEFAULT (${NOW}),
  PRIMARY KEY (consumer_group, source, id)
) STRICT;
CREATE INDEX IF NOT EXISTS ${table}_done ON ${table} (consumer_group, done_at);
`
}

function invalid(fault: string): ForebayError {
  return new ForebayError('CONFIG_INVALID', `inbox: ${fault}.`)
}

const NOW = "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
