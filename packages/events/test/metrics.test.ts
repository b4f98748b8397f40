import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { Registry } from 'prom-client'
import { encoded } from '../../protocol/test/encoded.ts'
import { DeadError } from '../src/handler-errors.ts'
import { createRelay } from '../src/outbox/relay.ts'
import { sqliteOutbox } from '../src/outbox/sqlite-outbox.ts'
import { createProducer } from '../src/producer.ts'
import { eventMetrics } from '../src/prometheus.ts'
import { openRig, until } from './event-rig.ts'
import { created, EMAIL, verified } from './some-events.ts'

test('producer, consumer and relay tell of themselves in one registry, with bounded labels', async () => {
  await using rig = await openRig()
  const registry = new Registry()
  const meters = eventMetrics(registry)
  const events = [created, verified] as const
  await using producer = await createProducer({ broker: rig.log, source: '/user-service', events, meters })
  const consumer = await rig.consume({
    meters,
    events: [verified],
    handlers: {
      user_account_verified: {
        batch: (handled, { places }) => {
          if (handled.some(({ key }) => key === 'dead')) throw new DeadError('never')
          if (handled.some(({ key }, index) => key === 'late' && places[index]!.attempt === 1))
            throw new Error('not yet')
        },
        eventsMax: 1,
      },
    },
  })
  await producer.publish(created, { data: { userId: 'u', email: EMAIL } })
  for (const userId of ['u', 'dead', 'late']) await producer.publish(verified, { data: { userId } })
  await until(() => consumer.counts.handled === 2 && consumer.counts.dead === 1)
  await assert.rejects(producer.publishEncoded('nowhere', encoded({ id: 'e' })))
  const path = join(rig.dir, 'service.db')
  const outbox = sqliteOutbox({ source: '/user-service' })
  const database = new DatabaseSync(path)
  outbox.migrate(database)
  database.exec('BEGIN')
  outbox.publish(database, verified, { data: { userId: 'u' } })
  database.exec('COMMIT')
  const relay = await createRelay({ outbox: outbox.rows(path), broker: rig.log, events, meters, lagIntervalMs: 1 })
  await until(() => relay.counts.published === 1 && consumer.counts.handled === 3)
  await relay.stop()
  database.close()
  await consumer.stop()
  const found = Object.fromEntries((await valuesOf(registry)).filter(([name]) => !/seconds_(bucket|sum)/.test(name)))
  assert.deepEqual(found, {
    'forebay_events_published_total{topic="accounts"}': 4,
    'forebay_events_publish_failed_total{topic="nowhere",outcome="refused"}': 1,
    'forebay_events_publish_seconds_count{topic="accounts"}': 4,
    'forebay_events_publishing{topic="accounts"}': 0,
    'forebay_events_publishing{topic="nowhere"}': 0,
    'forebay_events_handled_total{group="mails",type="user_account_verified"}': 3,
    'forebay_events_delay_seconds_count{group="mails",type="user_account_verified"}': 3,
    'forebay_events_skipped_total{group="mails"}': 1,
    'forebay_events_retried_total{group="mails"}': 1,
    'forebay_events_dead_total{group="mails"}': 1,
    'forebay_event_handlers_running{group="mails"}': 0,
    'forebay_event_handler_seconds_count{group="mails",type="user_account_verified"}': 5,
    'forebay_outbox_published_total{outbox="forebay_outbox"}': 1,
    'forebay_outbox_pending{outbox="forebay_outbox"}': 0,
    'forebay_outbox_pending_seconds{outbox="forebay_outbox"}': 0,
    'forebay_outbox_refused{outbox="forebay_outbox"}': 0,
  })
})

/** By name and labels, as Prometheus reads them. */
async function valuesOf(registry: Registry): Promise<readonly (readonly [string, number])[]> {
  const lines = (await registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return lines.map((line) => {
    const at = line.lastIndexOf(' ')
    return [line.slice(0, at), Number(line.slice(at + 1))] as const
  })
}
