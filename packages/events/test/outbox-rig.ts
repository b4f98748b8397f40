import { randomBytes } from 'node:crypto'
import { embeddedBroker } from '@forebay/broker/embedded'
import pg from 'pg'
import { openEventLog } from '../src/event-log.ts'
import type { OutboxRows } from '../src/outbox/outbox-rows.ts'
import { type PostgresOutboxOptions, postgresOutbox } from '../src/outbox/postgres-outbox.ts'
import { createRelay, type Relay } from '../src/outbox/relay.ts'
import type { RelayOptions } from '../src/outbox/relay-options.ts'
import { idOf, newFolder, readRecords } from './read-records.ts'
import { created, verified } from './some-events.ts'

/** A real log of one partition in a folder of its own, and relays as a test asks for them. */
export async function openRelays() {
  const { dir, remove } = newFolder()
  const events = [created, verified] as const
  const log = await openEventLog({ broker: embeddedBroker({ dir, recordBytesMax: 1_000_000 }), events, partitions: 1 })
  const relays: Relay[] = []
  return {
    dir,
    async relay(outbox: OutboxRows, options: Partial<RelayOptions> = {}): Promise<Relay> {
      const relay = await createRelay({ outbox, broker: log, events, leaseMs: 1_500, pollMs: 20, ...options })
      relays.push(relay)
      return relay
    },
    /** The first so many records. */
    read: (count: number) => readRecords(log.broker, 'accounts', count),
    async idsOf(count: number): Promise<readonly string[]> {
      return (await this.read(count)).map(idOf)
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(relays.map((relay) => relay.stop()))
      await log.close()
      remove()
    },
  }
}

/** An outbox in a table of its own, and connections to it. */
export async function openPostgresOutbox(url: string, options: Partial<PostgresOutboxOptions> = {}) {
  const table = `outbox_${randomBytes(6).toString('hex')}`
  const outbox = postgresOutbox({ source: '/user-service', table, ...options })
  const pool = new pg.Pool({ connectionString: url, max: 12 })
  pool.on('error', () => {})
  await outbox.migrate(pool)
  return {
    outbox,
    table,
    pool,
    /** A transaction that publishes these, in this order, and commits. */
    async commit(...events: readonly { readonly id: string; readonly userId: string }[]): Promise<void> {
      const client = await pool.connect()
      await client.query('BEGIN')
      for (const { id, userId } of events) await outbox.publish(client, verified, { data: { userId }, id })
      await client.query('COMMIT')
      client.release()
    },
    /** A transaction to be ended by the test. */
    async begin(isolation = 'READ COMMITTED'): Promise<pg.PoolClient> {
      const client = await pool.connect()
      await client.query(`BEGIN ISOLATION LEVEL ${isolation}`)
      return client
    },
    async [Symbol.asyncDispose]() {
      await pool.end()
    },
  }
}

export async function end(client: pg.PoolClient, how: 'COMMIT' | 'ROLLBACK'): Promise<void> {
  await client.query(how)
  client.release()
}
