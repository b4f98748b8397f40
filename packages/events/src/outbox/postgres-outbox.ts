import type { EncodedEvent } from '@forebay/protocol/cloudevents'
import type { EventDefinition } from '../define-event.ts'
import type { EventToPublish } from '../event.ts'
import { checkTransaction, type PostgresConnections, type PostgresTransaction } from '../postgres-client.ts'
import { encodeForOutbox, type OutboxOptions, resolveOutbox } from './outbox-options.ts'
import type { OutboxRows } from './outbox-rows.ts'
import { type PostgresListener, PostgresRows } from './postgres-rows.ts'
import { insertOf, lockKeyOf, migrationOf } from './postgres-tables.ts'
import { attributesOf } from './row-event.ts'

export interface PostgresOutboxOptions extends OutboxOptions {
  /**
   * Transactions that publish under one key wait for each other, from the first `publish` to their end: their events have
   * the order of their commits whatever else they lock. Default false: whoever publishes under a key holds a lock for it
   * already, as the row that the event is about. With it, transactions of several keys must take them in one order, or
   * PostgreSQL ends one of two as a deadlock (40P01).
   */
  readonly lockKeys?: boolean
}

/** Events as rows of the caller's own transaction: they are published if that commits, and only then. */
export interface PostgresOutbox {
  /** SQL of the tables; safe to run at any time. */
  migration(): string
  /** Runs it. */
  migrate(client: { query(text: string): Promise<unknown> }): Promise<void>
  /**
   * Resolves with the event's id when its row is written. Rejects with EVENT_INVALID, CONFIG_INVALID where the client is
   * in no transaction, or whatever the client says.
   */
  publish<Data>(
    client: PostgresTransaction,
    definition: EventDefinition<string, Data>,
    event: EventToPublish<Data>,
  ): Promise<string>
  /** One that is encoded already. */
  publishEncoded(client: PostgresTransaction, topic: string, event: EncodedEvent): Promise<string>
  /** For `createRelay`. */
  rows(connections: PostgresConnections, options?: PostgresRowsOptions): OutboxRows
}

export interface PostgresRowsOptions {
  /**
   * Makes a client that is not connected yet, for `LISTEN`: straight to the server, as a pooler in transaction mode passes
   * no notices on. Default: none, and the relay looks often instead.
   */
  readonly listener?: () => PostgresListener
}

/** Throws CONFIG_INVALID. */
export function postgresOutbox(options: PostgresOutboxOptions): PostgresOutbox {
  const outbox = resolveOutbox(options)
  const { table } = outbox
  const insert = insertOf(table)
  const lockKey = options.lockKeys === true ? lockKeyOf(table) : null

  async function publishEncoded(client: PostgresTransaction, topic: string, event: EncodedEvent): Promise<string> {
    checkTransaction(client, 'outbox.publish')
    const { id, source, type, version, key, timeMs, contentType, bytes } = event
    if (lockKey !== null && key !== null) await client.query(lockKey, [topic, key])
    const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const values = [topic, id, source, type, version, key, timeMs, attributesOf(event), contentType, data]
    await client.query(insert, values)
    return id
  }

  return {
    migration: () => migrationOf(table),
    async migrate(client) {
      await client.query(migrationOf(table))
    },
    async publish(client, definition, event) {
      return publishEncoded(client, definition.topic, encodeForOutbox(definition, event, outbox))
    },
    publishEncoded,
    rows: (connections, { listener } = {}) => new PostgresRows(table, connections, listener ?? null),
  }
}
