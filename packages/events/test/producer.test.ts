import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Broker, PublishError, type RecordToPublish } from '@forebay/broker'
import { embeddedBroker } from '@forebay/broker/embedded'
import { fromRecord } from '@forebay/protocol/cloudevents'
import { encoded } from '../../protocol/test/encoded.ts'
import { openEventLog } from '../src/event-log.ts'
import { createProducer, type ProducerOptions } from '../src/producer.ts'
import { idOf, newFolder, readRecords } from './read-records.ts'
import { created, EMAIL, verified } from './some-events.ts'

test('an event is durable when publish resolves, and says where it lies', async () => {
  await using rig = await openRig()
  const at = await rig.producer.publish(created, {
    data: { userId: 'u', email: EMAIL },
    subject: 's',
    extensions: { tenant: 'x' },
  })
  const [record] = await rig.read(at.topic, at.partition, 1)
  assert.equal(record!.offset, at.offset)
  const event = fromRecord(record!)
  assert.ok(typeof event !== 'string')
  assert.match(event.id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  assert.deepEqual(
    [event.id, event.type, event.version, event.key, event.subject, event.source, String(event.bytes)],
    [at.id, 'user_account_created', 1, 'u', 's', '/user-service', `{"userId":"u","email":"${EMAIL}"}`],
  )
  assert.deepEqual(event.extensions, { tenant: 'x' })
})

test('events of one key keep the order of the calls, also where they wait for room', async () => {
  await using rig = await openRig({ bufferBytesMax: 1_000 })
  const count = 300
  const published = await Promise.all(
    Array.from({ length: count }, (_, index) =>
      rig.producer.publish(verified, {
        data: { userId: 'one' },
        id: `e-${index}`,
        ...(index % 7 === 0 ? { subject: 's'.repeat(700) } : {}),
      }),
    ),
  )
  const partitions = new Set(published.map(({ partition }) => partition))
  assert.equal(partitions.size, 1)
  const records = await rig.read('accounts', published[0]!.partition, count)
  assert.deepEqual(
    records.map(idOf),
    Array.from({ length: count }, (_, index) => `e-${index}`),
  )
})

test('beyond the buffer publish waits: the log is never asked for more, and a large event is not starved', async () => {
  const held: HeldPublish[] = []
  await using rig = await openRig({ bufferBytesMax: 1_200 }, (broker) => holding(broker, held))
  const begun: string[] = []
  const publish = (id: string, size: number) =>
    rig.producer.publishEncoded('accounts', encoded({ id, bytes: Buffer.alloc(size) })).then(() => begun.push(id))
  const all = [publish('a', 300), publish('b', 300), publish('large', 5_000), publish('c', 10), publish('d', 10)]
  assert.deepEqual(idsIn(held), ['a', 'b'])
  held[0]!.go()
  await all[0]
  assert.deepEqual(idsIn(held), ['a', 'b'], 'the large one needs the room alone, and the small ones stand behind it')
  all.push(publish('e', 10))
  held[1]!.go()
  await all[1]
  assert.deepEqual(idsIn(held), ['a', 'b', 'large'])
  held[2]!.go()
  await all[2]
  assert.deepEqual(idsIn(held), ['a', 'b', 'large', 'c', 'd', 'e'].slice(0, held.length))
  while (begun.length < 6) {
    for (const one of held) one.go()
    await new Promise(setImmediate)
  }
  assert.deepEqual(idsIn(held), ['a', 'b', 'large', 'c', 'd', 'e'])
})

test('calls that wait are counted: past the limit they are refused at once', async () => {
  const held: HeldPublish[] = []
  await using rig = await openRig({ bufferBytesMax: 1, waitingMax: 2 }, (broker) => holding(broker, held))
  const publish = () => rig.producer.publish(verified, { data: { userId: 'u' } })
  const taken = [publish(), publish(), publish()]
  await assert.rejects(publish(), { code: 'OVERLOADED' })
  const all = Promise.all(taken)
  while (held.length < 3) {
    for (const one of held) one.go()
    await new Promise(setImmediate)
  }
  for (const one of held) one.go()
  await all
})

test('a failed publish says whether the event can be in the log, and gives its room back', async () => {
  const outcomes: ('refused' | 'unknown')[] = ['refused', 'unknown']
  await using rig = await openRig({ bufferBytesMax: 1 }, (broker) => ({
    ...passing(broker),
    publish(records) {
      const outcome = outcomes.shift()
      if (outcome === undefined) return broker.publish(records)
      return Promise.reject(new PublishError('No.', [{ index: 0, outcome, cause: null }]))
    },
  }))
  const publish = () => rig.producer.publish(verified, { data: { userId: 'u' } })
  const [refused, unknown, kept] = await Promise.allSettled([publish(), publish(), publish()])
  assert.equal(refused!.status === 'rejected' && refused!.reason.code, 'NOT_ACCEPTED')
  assert.equal(unknown!.status === 'rejected' && unknown!.reason.code, 'OUTCOME_UNKNOWN')
  assert.equal(kept!.status, 'fulfilled')
})

test('what cannot be published is refused by field, and nothing is sent', async () => {
  await using rig = await openRig({}, (broker) => ({
    ...passing(broker),
    publish: () => assert.fail('nothing may be sent'),
  }))
  const data = { userId: 'u' }
  const refused = async (event: object, field: RegExp) =>
    assert.rejects(rig.producer.publish(verified, { data, ...event }), { code: 'EVENT_INVALID', message: field })
  await refused({ data: { userId: 1 } }, /\/userId must be string/)
  await refused({ id: '' }, /event's id is ""/)
  await refused({ id: 'a\nb' }, /event's id is/)
  await refused({ key: '' }, /event's key is ""/)
  await refused({ key: 7 }, /event's key is 7/)
  await refused({ subject: 'x'.repeat(1_025) }, /event's subject/)
  for (const timeMs of [Number.NaN, -1, 1e15]) await refused({ timeMs }, /event's timeMs is/)
  for (const name of ['Tenant', 'a_b', 'id', 'data', 'x'.repeat(21), '__proto__']) {
    await refused({ extensions: Object.fromEntries([[name, 'x']]) }, /event's extensions is/)
  }
  await refused({ extensions: { tenant: 1 } }, /event's extensions.tenant is 1/)
  const large = encoded({ bytes: Buffer.alloc(9 * 1024 * 1024) })
  await assert.rejects(rig.producer.publishEncoded('accounts', large), {
    code: 'EVENT_INVALID',
    message: /the log takes/,
  })
})

test('a trace context that is none is left out, as its standard asks', async () => {
  await using rig = await openRig()
  const at = await rig.producer.publish(verified, { data: { userId: 'u' }, traceparent: 'nonsense', tracestate: 'x=1' })
  const [record] = await rig.read(at.topic, at.partition, 1)
  assert.ok(!record!.headers.some(([name]) => name.startsWith('ce_trace')))
})

test('flush waits for what was published before it, and for nothing after', async () => {
  const held: HeldPublish[] = []
  await using rig = await openRig({}, (broker) => holding(broker, held))
  const publish = () => rig.producer.publish(verified, { data: { userId: 'u' } })
  await rig.producer.flush()
  const before = publish()
  let flushed = false
  const flush = rig.producer.flush().then(() => {
    flushed = true
  })
  const after = publish()
  await new Promise(setImmediate)
  assert.equal(flushed, false)
  held[0]!.go()
  await before
  await flush
  held[1]!.go()
  await after
})

test('close flushes what waits, refuses what comes later, and is safe to call twice', async () => {
  await using rig = await openRig({ bufferBytesMax: 1 })
  const publish = () => rig.producer.publish(verified, { data: { userId: 'u' } })
  const before = Promise.all([publish(), publish(), publish()])
  const closing = rig.producer.close()
  await assert.rejects(publish(), { code: 'CLOSED' })
  await Promise.all([closing, rig.producer.close()])
  assert.equal((await before).length, 3)
})

test('a log can be shared: whoever opened it closes it', async () => {
  const { dir, remove } = newFolder()
  {
    await using log = await openEventLog({ broker: embeddedBroker({ dir }), events: [created, verified] })
    const one = await createProducer({ broker: log, source: '/one', events: [created] })
    await using two = await createProducer({ broker: log, source: '/two', events: [verified] })
    await one.close()
    await two.publish(verified, { data: { userId: 'u' } })
  }
  await using narrow = await openEventLog({ broker: embeddedBroker({ dir: join(dir, 'narrow') }), events: [] })
  await assert.rejects(createProducer({ broker: narrow, source: '/one', events: [created] }), {
    code: 'CONFIG_INVALID',
    message: /no topic accounts/,
  })
  remove()
})

test('options that cannot be are refused', async () => {
  const broker = embeddedBroker({ dir: '/nowhere' })
  for (const over of [{ source: '' }, { source: 'a b' }, { bufferBytesMax: 0 }, { waitingMax: 1.5 }]) {
    const [field] = Object.keys(over)
    await assert.rejects(createProducer({ broker, source: '/s', events: [], ...over }), {
      code: 'CONFIG_INVALID',
      message: new RegExp(`createProducer: ${field}: `),
    })
  }
})

async function openRig(over: Partial<ProducerOptions> = {}, wrap = (broker: Broker) => broker) {
  const { dir, remove } = newFolder()
  const broker = embeddedBroker({ dir })
  const given = { broker: wrap(broker), source: '/user-service', events: [created, verified], ...over }
  const producer = await createProducer<typeof created | typeof verified>({ ...given, events: [created, verified] })
  return {
    producer,
    read: (topic: string, partition: number, count: number) => readRecords(broker, topic, count, partition),
    async [Symbol.asyncDispose]() {
      await producer.close()
      remove()
    },
  }
}

interface HeldPublish {
  readonly records: readonly RecordToPublish[]
  go(): void
}

function idsIn(held: readonly HeldPublish[]): string[] {
  return held.map(({ records }) => idOf(records[0]!))
}

function passing(broker: Broker): Broker {
  return {
    capabilities: broker.capabilities,
    open: (request) => broker.open(request),
    publish: (records) => broker.publish(records),
    consume: (request) => broker.consume(request),
    listen: (request) => broker.listen(request),
    inspect: (request) => broker.inspect(request),
    close: () => broker.close(),
  }
}

/** The real log, which a test keeps from beginning. */
function holding(broker: Broker, held: HeldPublish[]): Broker {
  return {
    ...passing(broker),
    async publish(records) {
      await new Promise<void>((go) => held.push({ records, go }))
      return broker.publish(records)
    },
  }
}
