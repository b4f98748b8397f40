import type { DatabaseSync } from 'node:sqlite'
import { ForebayError } from '@forebay/protocol'
import type { EncodedEvent } from '@forebay/protocol/cloudevents'
import type { EventDefinition } from '../define-event.ts'
import type { EventToPublish } from '../event.ts'
import { encodeForOutbox, type OutboxOptions, resolveOutbox } from './outbox-options.ts'
import type { OutboxRows } from './outbox-rows.ts'
import { attributesOf } from './row-event.ts'
import { openSqliteRows } from './sqlite-rows.ts'

/** Events as rows of the caller's own transaction in a SQLite file: they are published if that commits, and only then. */
export interface SqliteOutbox {
  /** SQL of the tables; safe to run at any time. */
  migration(): string
  /** Runs it. */
  migrate(database: DatabaseSync): void
  /** The event's id. Throws EVENT_INVALID, CONFIG_INVALID where no transaction is open, or whatever SQLite says. */
  publish<Data>(database: DatabaseSync, definition: EventDefinition<string, Data>, event: EventToPublish<Data>): string
  /** One that is encoded already. */
  publishEncoded(database: DatabaseSync, topic: string, event: EncodedEvent): string
  /**
   * For `createRelay`, over a connection of its own: one that is shared would see what is not committed yet. The file has to
   * be in WAL mode (`PRAGMA journal_mode = WAL`), so that the relay reads while others write. Throws as SQLite does.
   */
  rows(path: string): OutboxRows
}

/** Throws CONFIG_INVALID. */
export function sqliteOutbox(options: OutboxOptions): SqliteOutbox {
  const outbox = resolveOutbox(options)
  const { table } = outbox
  if (table.includes('.')) {
    throw new ForebayError('CONFIG_INVALID', `outbox: table: SQLite has no schemas, got ${JSON.stringify(table)}.`)
  }
  const insert = `INSERT INTO ${table} (topic, id, source, type, version, key, time, attributes, content_type, data)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

  function publishEncoded(database: DatabaseSync, topic: string, event: EncodedEvent): string {
    if (!database.isTransaction) {
      throw new ForebayError('CONFIG_INVALID', 'outbox.publish: this database is in no transaction; BEGIN one first.')
    }
    const { id, source, type, version, key, timeMs, contentType, bytes } = event
    const attributes = attributesOf(event)
    database.prepare(insert).run(topic, id, source, type, version, key, timeMs, attributes, contentType, bytes)
    return id
  }

  return {
    migration: () => migrationOf(table),
    migrate(database) {
      database.exec(migrationOf(table))
    },
    publish(database, definition, event) {
      return publishEncoded(database, definition.topic, encodeForOutbox(definition, event, outbox))
    },
    publishEncoded,
    rows: (path) => openSqliteRows(path, table),
  }
}

/** Forward only. `AUTOINCREMENT`: a number is never given twice, also when the highest rows have been removed. */
function migrationOf(table: string): string {
  return `CREATE TABLE IF NOT EXISTS ${table} (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  topic TEXT NOT NULL,
  id TEXT NOT NULL DEFAULT (lower(hex(randomblob(16)))),
  source TEXT NOT NULL,
  type TEXT NOT NULL,
  version INTEGER NOT NULL DEFAULT 1,
  key TEXT,
  time INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER)),
  attributes TEXT NOT NULL DEFAULT '{}' CHECK (json_type(attributes) = 'object'),
  content_type TEXT NOT NULL DEFAULT 'application/json',
  data BLOB NOT NULL,
  created_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER)),
  published_at INTEGER,
  refused TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS ${table}_pending ON ${table} (seq) WHERE published_at IS NULL AND refused IS NULL;
CREATE TABLE IF NOT EXISTS ${table}_relay (
  only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
  owner TEXT,
  until INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT OR IGNORE INTO ${table}_relay (only_one) VALUES (1);
`
}
