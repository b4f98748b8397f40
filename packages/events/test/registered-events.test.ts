import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { embeddedBroker } from '@forebay/broker/embedded'
import { createConsumer, createProducer, deadTopicOf, defineEvent, openEventLog } from '@forebay/events'
import { avroSchema } from '@forebay/events/avro'
import { registered, schemaRegistry } from '@forebay/events/registry'
import { until } from './event-rig.ts'
import { RegistryServer } from './registry-server.ts'

const avroOf = (...fields: object[]) =>
  avroSchema<{ id: string; count: number }>({ text: JSON.stringify({ type: 'record', name: 'Order', fields }) })
const ID = { name: 'id', type: 'string' }
const COUNT = { name: 'count', type: 'int', default: 1 }

test('events wait while the registry of their schema is away, others go on, and none is a dead letter', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-events-'))
  const server = new RegistryServer()
  const url = await server.start()
  const theirs = schemaRegistry({ url })
  const ours = schemaRegistry({ url, timeoutMs: 500, retries: 0 })
  const define = (registry: typeof ours, ...fields: object[]) =>
    defineEvent('order_made', {
      topic: 'orders',
      key: ({ id }) => id,
      schema: registered(avroOf(...fields), { registry }),
    })
  const older = define(theirs, ID, { name: 'count', type: 'int' })
  const newer = define(ours, ID, { name: 'count', type: 'long' }, { name: 'colour', type: 'string', default: 'red' })
  const plain = defineEvent('order_seen', { topic: 'seen', schema: avroOf(ID, COUNT) })
  const broker = embeddedBroker({ dir, commitIntervalMs: 10 })
  const log = await openEventLog({ broker, events: [older, plain], groups: ['shop'] })
  const seen: string[] = []
  try {
    await using producer = await createProducer({ broker: log, source: '/shop', events: [older, plain] })
    for (const id of ['a', 'b', 'a']) await producer.publish(older, { data: { id, count: 3 } })
    const port = Number(new URL(url).port)
    await server.stop()

    const options = { broker: log, group: 'shop', events: [newer, plain], concurrency: 1, retry: { attemptsMax: 1 } }
    const handlers = {
      order_made: ({ data }: { data: { id: string; count: number } }) => void seen.push(`${data.id}${data.count}`),
      order_seen: ({ data }: { data: { id: string } }) => void seen.push(data.id),
    }
    const first = await createConsumer({ ...options, handlers })
    await producer.publish(plain, { data: { id: 'plain', count: 1 } })
    await until(() => seen.includes('plain'))
    // What waits does not hold up a stop, and comes again.
    const began = performance.now()
    await first.stop({ graceMs: 20_000 })
    assert.ok(performance.now() - began < 10_000)
    assert.deepEqual(seen, ['plain'])

    await using second = await createConsumer({ ...options, handlers })
    await new Promise((resolve) => setTimeout(resolve, 100))
    await server.start(port)
    await until(() => second.counts.handled === 3)
    assert.deepEqual(seen.slice(1).sort(), ['a3', 'a3', 'b3'])
    assert.equal(second.counts.dead, 0)
    const [dead] = await broker.inspect({ topics: [deadTopicOf('orders', 'shop')] })
    assert.equal(dead!.end, 0)
  } finally {
    theirs.close()
    ours.close()
    await log.close()
    await server.stop()
    rmSync(dir, { recursive: true })
  }
})

test('a producer that cannot get its ids does not start, and leaves the log closed', async () => {
  const registry = schemaRegistry({ url: 'http://127.0.0.1:9', retries: 0 })
  const event = defineEvent('order_made', { schema: registered(avroOf(ID), { registry }) })
  const dir = mkdtempSync(join(tmpdir(), 'forebay-events-'))
  try {
    const broker = embeddedBroker({ dir })
    const failing = createProducer({ broker, source: '/shop', events: [event] })
    await assert.rejects(failing, { code: 'REGISTRY_UNAVAILABLE' })
  } finally {
    rmSync(dir, { recursive: true })
  }
})
