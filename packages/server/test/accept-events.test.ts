import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Broker, type LogRecord, PublishError } from '@forebay/broker'
import { fromRecord } from '@forebay/protocol/cloudevents'
import type { EventTypeOptions } from '../src/options.ts'
import { accessKeys, type DoorsRig, openDoorsRig } from './support/doors-rig.ts'

const ACCOUNT = { type: 'object', required: ['userId'], properties: { userId: { type: 'string' } } }
const EVENTS: readonly EventTypeOptions[] = [
  eventType('account_created', { topic: 'accounts', schemas: new Map([[1, ACCOUNT]]) }),
  eventType('account_closed', { topic: 'accounts' }),
  eventType('clicked'),
]

function eventType(name: string, other: Partial<EventTypeOptions> = {}): EventTypeOptions {
  const retentionMs = 3_600_000
  return { name, topic: `forebay.events.${name}`, partitions: 2, retentionMs, schemas: new Map(), ...other }
}

function event(id: string, other: object = {}): object {
  return { specversion: '1.0', id, source: '/user-service', type: 'clicked', ...other }
}

const binary = (id: string, other: Record<string, string> = {}) => ({
  'ce-specversion': '1.0',
  'ce-id': id,
  'ce-source': '/user-service',
  'ce-type': 'account_created',
  'content-type': 'application/json',
  ...other,
})
const STRUCTURED = { 'content-type': 'application/cloudevents+json' }
const BATCH = { 'content-type': 'application/cloudevents-batch+json' }

interface Told {
  readonly id: string
  readonly outcome: string
  readonly topic: string
  readonly partition?: number
  readonly offset?: number
}
interface Answer {
  readonly status: number
  readonly code?: string
  readonly detail?: string
  readonly retryable?: boolean
  readonly events?: readonly Told[]
  readonly faults?: readonly string[]
}

async function publish(rig: DoorsRig, body: string, headers: Record<string, string>): Promise<Answer> {
  const response = await fetch(`${rig.url}/v1/events`, { method: 'POST', body, headers })
  const answer = (await response.json()) as Answer
  return { ...answer, status: response.status }
}

async function records(rig: DoorsRig, topic: string): Promise<LogRecord[]> {
  const found: LogRecord[] = []
  for (const { partition, start, end } of await rig.broker.inspect({ topics: [topic] })) {
    if (start === end) continue
    const listener = await rig.broker.listen({ topic, partition, from: 'earliest' })
    for await (const batch of listener) {
      found.push(...batch)
      if (batch.at(-1)!.offset + 1 >= end) break
    }
    await listener.close()
  }
  return found
}

async function withRig(options: Parameters<typeof openDoorsRig>[0], run: (rig: DoorsRig) => Promise<void>) {
  const rig = await openDoorsRig({ events: EVENTS, ...options })
  try {
    await run(rig)
    assert.equal(rig.doors.admission.bytes, 0)
  } finally {
    await rig.stop()
  }
}

test('in each mode an event is answered when it is in the log, with its place there, and reads as it was sent', () =>
  withRig({}, async (rig) => {
    const data = '{ "userId": "u-1", "n": 9007199254740993 }'
    const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`
    const first = await publish(
      rig,
      data,
      binary('b-1', { 'ce-partitionkey': 'u-1', 'ce-subject': 'gr%C3%BCn', 'ce-tenant': 'blue', traceparent }),
    )
    assert.equal(first.status, 200)
    const one = `{"specversion":"1.0","id":"s-1","source":"/x","type":"account_closed","partitionkey":"u-1","data":${data}}`
    const second = await publish(rig, one, STRUCTURED)
    const batch = [
      event('c-1'),
      event('c-2', { data: [1] }),
      event('c-3', { type: 'account_closed', partitionkey: 'u-1' }),
    ]
    const third = await publish(rig, JSON.stringify(batch), BATCH)
    assert.deepEqual(await publish(rig, '[]', BATCH), { status: 200, events: [] })
    const told = [first, second, third].flatMap(({ events }) => events!)
    assert.deepEqual(
      told.map(({ id, outcome, topic }) => [id, outcome, topic]),
      [
        ['b-1', 'accepted', 'accounts'],
        ['s-1', 'accepted', 'accounts'],
        ['c-1', 'accepted', 'forebay.events.clicked'],
        ['c-2', 'accepted', 'forebay.events.clicked'],
        ['c-3', 'accepted', 'accounts'],
      ],
    )
    const kept = [...(await records(rig, 'accounts')), ...(await records(rig, 'forebay.events.clicked'))]
    for (const { id, topic, partition, offset } of told) {
      const record = kept.find((one) => one.topic === topic && one.partition === partition && one.offset === offset)!
      const read = fromRecord(record)
      assert.ok(typeof read === 'object')
      assert.equal(read.id, id)
    }
    const accounts = (await records(rig, 'accounts')).map((record) => fromRecord(record))
    const [created, closed] = accounts
    assert.ok(typeof created === 'object' && typeof closed === 'object')
    assert.equal(accounts.length, 3, 'one key, one partition, in the order of the requests')
    assert.equal(String(created.bytes), data, 'byte for byte')
    assert.equal(String(closed.bytes), data, 'byte for byte')
    assert.equal(created.subject, 'grün')
    assert.equal(created.traceparent, traceparent, 'of the request, as the event had none')
    assert.deepEqual(created.extensions, { tenant: 'blue' })
    const metrics = await (await fetch(`${rig.url}/metrics`)).text()
    assert.match(metrics, /forebay_events_accepted_total\{event="account_closed"\} 2/)
  }))

test('what cannot be published is refused by name, and of a batch nothing is', () =>
  withRig({}, async (rig) => {
    const refused = async (
      status: number,
      code: string,
      says: RegExp,
      body: string,
      headers: Record<string, string>,
    ) => {
      const answer = await publish(rig, body, headers)
      assert.equal(`${answer.status} ${answer.code}`, `${status} ${code}`, String(answer.detail))
      assert.match(answer.detail!, says)
      return answer
    }
    const good = '{"userId":"u-1"}'
    await refused(404, 'EVENT_NOT_FOUND', /Configured are: account_created.*Did you mean account_closed/, good, {
      ...binary('1'),
      'ce-type': 'account_close',
    })
    const schema = await refused(
      422,
      'SCHEMA_MISMATCH',
      /\/userId must be string \[type\], got 7/,
      '{"userId":7}',
      binary('2'),
    )
    assert.equal(schema.faults?.length, 1)
    await refused(
      422,
      'EVENT_INVALID',
      /dataversion is 2.*configured with 1/,
      good,
      binary('3', { 'ce-dataversion': '2' }),
    )
    await refused(422, 'EVENT_INVALID', /data is text\/plain/, good, binary('4', { 'content-type': 'text/plain' }))
    await refused(400, 'MALFORMED_JSON', /The data is not JSON/, '{"userId":', binary('5'))
    await refused(422, 'EVENT_INVALID', /no id/, JSON.stringify(event('')), STRUCTURED)
    await refused(
      422,
      'EVENT_INVALID',
      /specversion is "2.0"/,
      JSON.stringify(event('6', { specversion: '2.0' })),
      STRUCTURED,
    )
    await refused(
      422,
      'EVENT_INVALID',
      /source is "a b": name the service by a URI/,
      good,
      binary('7', { 'ce-source': 'a%20b' }),
    )
    await refused(422, 'EVENT_INVALID', /subject is "a\\n": control/, good, binary('8', { 'ce-subject': 'a%0A' }))
    await refused(
      422,
      'EVENT_INVALID',
      /well-formed/,
      JSON.stringify(event('9')).replace('"9"', '"\\ud800"'),
      STRUCTURED,
    )
    await refused(422, 'EVENT_INVALID', /at most 1024/, good, binary('x'.repeat(1_025)))
    await refused(422, 'EVENT_INVALID', /begin with forebay/, good, binary('10', { 'ce-forebayprincipal': 'me' }))
    await refused(
      422,
      'EVENT_INVALID',
      /at most 50/,
      JSON.stringify(event('11', Object.fromEntries(Array.from({ length: 51 }, (_, n) => [`x${n}`, 'y'])))),
      STRUCTURED,
    )
    await refused(422, 'EVENT_INVALID', /none that is read here/, '', {
      'content-type': 'application/cloudevents+avro',
    })
    await refused(422, 'EVENT_INVALID', /send its attributes as headers/, good, { 'content-type': 'application/json' })
    await refused(422, 'EVENT_INVALID', /no JSON in UTF-8/, '[', BATCH)
    await refused(400, 'BAD_HEADER', /Events have no Idempotency-Key/, good, binary('12', { 'idempotency-key': 'k' }))
    await refused(
      413,
      'TASK_TOO_LARGE',
      /1001 events, and 1000 are taken/,
      JSON.stringify(Array(1_001).fill(event('13'))),
      BATCH,
    )
    await refused(413, 'TASK_TOO_LARGE', /1048576 bytes/, ' '.repeat(1_048_577), BATCH)
    const mixed = [event('ok'), event('14', { type: 'nope' }), event('15', { source: 'a b' })]
    const batch = await refused(
      404,
      'EVENT_NOT_FOUND',
      /Nothing of this batch.*events\[1\].*events\[2\]/,
      JSON.stringify(mixed),
      BATCH,
    )
    assert.equal(batch.faults?.length, 2)
    await refused(422, 'EVENT_INVALID', /events\[0\]: It is no JSON object/, JSON.stringify([7, event('ok')]), BATCH)
    assert.deepEqual([...(await records(rig, 'accounts')), ...(await records(rig, 'forebay.events.clicked'))], [])
  }))

test('deep data passes as it is, and an attribute twice does not', () =>
  withRig({}, async (rig) => {
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`
    const one = JSON.stringify(event('deep')).replace(/\}$/, `,"data":${deep}}`)
    assert.equal((await publish(rig, one, STRUCTURED)).status, 200)
    const twice = new Headers(binary('1', { 'ce-type': 'clicked' }))
    const { sendRaw } = await import('./support/doors-rig.ts')
    const lines = [...twice].map(([name, value]) => `${name}: ${value}\r\n`).join('')
    const heard = await sendRaw(
      rig.port,
      `POST /v1/events HTTP/1.1\r\nHost: a\r\n${lines}ce-id: 2\r\nContent-Length: 0\r\n\r\n`,
    )
    assert.match(heard, /^HTTP\/1\.1 422 [\s\S]*ce-id\\" came twice/)
    assert.equal((await records(rig, 'forebay.events.clicked')).length, 1)
  }))

test('where callers show keys, each event says who published it; without a key nothing is taken', () =>
  withRig({ auth: accessKeys({ shop: 'key-of-shop' }) }, async (rig) => {
    const headers = { ...STRUCTURED, authorization: 'Bearer key-of-shop' }
    assert.equal((await publish(rig, JSON.stringify(event('1')), headers)).status, 200)
    assert.equal((await publish(rig, JSON.stringify(event('2')), STRUCTURED)).status, 401)
    const [record, ...others] = await records(rig, 'forebay.events.clicked')
    const read = fromRecord(record!)
    assert.ok(typeof read === 'object')
    assert.deepEqual([read.id, read.extensions, others], ['1', { forebayprincipal: 'shop' }, []])
  }))

test('the answer says of each event what is true: kept, certainly not, or nobody knows', async () => {
  let outcomes: readonly ('ok' | 'refused' | 'unknown')[] = []
  const wrapBroker = (broker: Broker): Broker => ({
    capabilities: broker.capabilities,
    open: (request) => broker.open(request),
    consume: (request) => broker.consume(request),
    listen: (request) => broker.listen(request),
    inspect: (request) => broker.inspect(request),
    close: () => broker.close(),
    async publish(given) {
      const kept = given.filter((_, index) => outcomes[index] !== 'refused')
      const positions = kept.length === 0 ? [] : await broker.publish(kept)
      const failed = outcomes.flatMap((outcome, index) => (outcome === 'ok' ? [] : [{ index, outcome, cause: null }]))
      if (failed.length > 0) throw new PublishError('As the test wants it.', failed)
      return positions
    },
  })
  await withRig({ wrapBroker }, async (rig) => {
    const answer = async (...wanted: typeof outcomes) => {
      outcomes = wanted
      const body = JSON.stringify(wanted.map((_, index) => event(`e-${index}`)))
      const { status, code, retryable, events } = await publish(rig, body, BATCH)
      return [status, code, retryable, events!.map(({ id, outcome }) => `${id} ${outcome}`).join(', ')]
    }
    assert.deepEqual(await answer('refused', 'refused'), [
      503,
      'NOT_ACCEPTED',
      true,
      'e-0 not-accepted, e-1 not-accepted',
    ])
    assert.deepEqual(await answer('ok', 'refused', 'unknown'), [
      503,
      'OUTCOME_UNKNOWN',
      true,
      'e-0 accepted, e-1 not-accepted, e-2 unknown',
    ])
    assert.deepEqual(await answer('ok', 'refused'), [503, 'OUTCOME_UNKNOWN', true, 'e-0 accepted, e-1 not-accepted'])
    outcomes = ['unknown']
    const single = await publish(rig, JSON.stringify(event('e-9')), STRUCTURED)
    assert.deepEqual([single.status, single.code, single.events?.[0]?.id], [503, 'OUTCOME_UNKNOWN', 'e-9'])
    outcomes = ['ok']
    const again = await publish(rig, JSON.stringify(event('e-9')), STRUCTURED)
    assert.equal(again.status, 200)
    const ids = (await records(rig, 'forebay.events.clicked')).map(
      (record) => (fromRecord(record) as { id: string }).id,
    )
    assert.equal(ids.filter((id) => id === 'e-9').length, 2, 'twice in the log with one id: an inbox makes it once')
  })
})

test('more than may be on its way is refused at once, and a stop answers what it has taken', async () => {
  const released = Promise.withResolvers<void>()
  const entered = Promise.withResolvers<void>()
  const wrapBroker = (broker: Broker): Broker => ({
    capabilities: broker.capabilities,
    open: (request) => broker.open(request),
    consume: (request) => broker.consume(request),
    listen: (request) => broker.listen(request),
    inspect: (request) => broker.inspect(request),
    close: () => broker.close(),
    async publish(given) {
      if (given[0]?.topic === 'forebay.events.clicked') {
        entered.resolve()
        await released.promise
      }
      return broker.publish(given)
    },
  })
  await withRig({ wrapBroker, http: { acceptingBytesMax: 30_000 } }, async (rig) => {
    const large = JSON.stringify(event('1', { data: 'x'.repeat(10_000) }))
    const first = publish(rig, large, STRUCTURED)
    await entered.promise
    const second = await publish(rig, large, STRUCTURED)
    assert.deepEqual([second.status, second.code], [429, 'OVERLOADED'])
    const stopped = rig.doors.http.stop(5_000)
    released.resolve()
    assert.equal((await first).status, 200)
    assert.equal(await stopped, 0)
    assert.equal((await records(rig, 'forebay.events.clicked')).length, 1)
  })
})
