import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { kafkaBroker } from '@forebay/broker/kafka'
import { createConsumer, createProducer, defineEvent, type Event } from '@forebay/events'
import { useKafka } from '../../scripts/rig/kafka.ts'
import type { Rig } from '../../scripts/rig/process.ts'
import { hasPython } from '../../scripts/rig/python-packages.ts'
import { accountClosed, accountCreated } from '../events/accounts.ts'
import { startPythonConsumer, startPythonProducer } from './python.ts'

const skip = (await hasPython()) ? false : 'python3 with venv is not on this machine'

let kafka: Awaited<ReturnType<typeof useKafka>>
before(async () => {
  kafka = await useKafka()
})
after(() => kafka[Symbol.asyncDispose]())

test('each language reads what the other published, and a key keeps its partition and its order', {
  skip,
}, async () => {
  await using place = await openPlace()
  const { created, closed, producer, python } = place
  await using reader = await place.readWithPython()
  const published: { readonly id: string; readonly key: string; readonly partition: number }[] = []
  for (let round = 0; round < ROUNDS; round++) {
    for (const key of KEYS) {
      const ours = await producer.publish(created, { data: accountOf(key), key })
      const mode = { structured: round % 2 === 1 }
      const theirs = await python.publish({ type: closed.name, key, data: { userId: key }, ...mode })
      published.push({ ...ours, key }, { ...theirs, key })
    }
  }
  for (const [key, some] of Map.groupBy(published, (one) => one.key)) {
    assert.equal(new Set(some.map(({ partition }) => partition)).size, 1, `${key} has one partition`)
  }
  assert.ok(new Set(published.map(({ partition }) => partition)).size > 1)

  const seen = await place.readWithNode(published.length)
  const seenByPython = await eventsOf(reader, published.length)
  for (const key of KEYS) {
    const ids = published.filter((one) => one.key === key).map(({ id }) => id)
    assert.deepEqual(
      seen.filter((event) => event.key === key).map(({ id }) => id),
      ids,
    )
    const ofKey = seenByPython.filter(({ attributes }) => attributes.partitionkey === key)
    assert.deepEqual(
      ofKey.map(({ attributes }) => attributes.id),
      ids,
    )
  }
})

test('Python reads every attribute of ours, and we every one of its, in both modes', { skip }, async () => {
  await using place = await openPlace()
  const { created, closed, producer, python } = place
  const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const ours = await producer.publish(created, {
    data: accountOf('grüße'),
    timeMs: Date.parse('2026-01-31T12:34:56.789Z'),
    subject: 'accounts/grüße',
    traceparent: trace,
    tracestate: 'vendor=1',
    extensions: { tenant: 'blau' },
  })
  await using reader = await place.readWithPython()
  const [read] = await eventsOf(reader, 1)
  assert.deepEqual(read, {
    attributes: {
      specversion: '1.0',
      id: ours.id,
      source: '/user-service',
      type: created.name,
      time: '2026-01-31T12:34:56.789000+00:00',
      datacontenttype: 'application/json',
      dataschema: `urn:forebay:event:${created.name}:1`,
      dataversion: '1',
      subject: 'accounts/grüße',
      partitionkey: 'grüße',
      traceparent: trace,
      tracestate: 'vendor=1',
      tenant: 'blau',
    },
    data: accountOf('grüße'),
    partition: ours.partition,
  })

  const given = { type: closed.name, data: { userId: 'k' }, subject: 'accounts/k', traceparent: trace, tenant: 'rot' }
  const about = { source: '/python-service', subject: 'accounts/k', traceparent: trace, extensions: { tenant: 'rot' } }
  for (const structured of [false, true]) {
    const { id } = await python.publish({ ...given, key: 'k', structured })
    const keyless = await python.publish({ ...given, structured })
    const seen = await place.readWithNode(structured ? 5 : 3)
    const withKey = seen.find((event) => event.id === id)!
    assert.partialDeepStrictEqual(withKey, { ...about, id, key: 'k', version: 1, data: { userId: 'k' } })
    assert.ok(Math.abs(withKey.timeMs - Date.now()) < 60_000)
    assert.partialDeepStrictEqual(seen.find((event) => event.id === keyless.id)!, { ...about, key: null })
  }
})

test('a record that is no event holds up neither, and kcat shows headers that people can read', { skip }, async () => {
  await using place = await openPlace()
  const { created, closed, producer, python, topic } = place
  const broken = await python.publish({ type: closed.name, key: 'k', data: { user: 'not as the schema has it' } })
  const { id } = await producer.publish(created, { data: accountOf('k'), timeMs: Date.parse('2026-01-31T00:00:00Z') })
  const [event] = await place.readWithNode(1)
  assert.equal(event!.id, id)
  const args = ['-b', kafka.bootstrap, '-C', '-e', '-q', '-f', '%k %h\n', '-t']
  const { stdout } = await promisify(execFile)('kcat', [...args, topic])
  const line = stdout.split('\n').find((one) => one.includes(id))
  assert.equal(
    line,
    `k ce_specversion=1.0,ce_id=${id},ce_source=/user-service,ce_type=account_created,ce_time=2026-01-31T00:00:00.000Z,` +
      'ce_dataversion=1,content-type=application/json,ce_dataschema=urn:forebay:event:account_created:1,ce_partitionkey=k',
  )
  const { stdout: letters } = await promisify(execFile)('kcat', [...args, `${topic}.node.dead`])
  assert.match(letters, new RegExp(`^k .*ce_id=${broken.id},.*fb-dead-code=EVENT_UNDECODABLE`))
})

const ROUNDS = 10
const KEYS = ['ada', 'grace', 'alan', 'barbara', 'grüße', '7']

function accountOf(userId: string) {
  return { userId, name: `${userId} ☃`, email: 'someone@example.com' }
}

/** A topic of its own with the events of examples/events on it, and a producer in each language. */
async function openPlace() {
  const topic = `accounts-${randomUUID()}`
  const { schema: createdSchema } = accountCreated
  const { schema: closedSchema } = accountClosed
  const created = defineEvent('account_created', { topic, key: ({ userId }) => userId, schema: createdSchema })
  const closed = defineEvent('account_closed', { topic, key: ({ userId }) => userId, schema: closedSchema })
  const broker = () => kafkaBroker({ bootstrap: [kafka.bootstrap] })
  const events = [created, closed] as const
  await using opened = new AsyncDisposableStack()
  const producer = opened.use(
    await createProducer({ broker: broker(), source: '/user-service', events, partitions: 4 }),
  )
  const python = opened.use(await startPythonProducer(kafka.bootstrap, topic))
  const seen: Event[] = []
  let changed = Promise.withResolvers<void>()
  const take = (event: Event) => {
    seen.push(event)
    changed.resolve()
    changed = Promise.withResolvers()
  }
  const handlers = { account_created: take, account_closed: take }
  opened.use(await createConsumer({ broker: broker(), group: 'node', events, handlers }))
  const kept = opened.move()
  return {
    topic,
    created,
    closed,
    producer,
    python,
    readWithPython: () => startPythonConsumer(kafka.bootstrap, 'python', topic),
    /** What our consumer has seen, once it is so many. */
    async readWithNode(count: number): Promise<readonly Event[]> {
      while (seen.length < count) await changed.promise
      return seen
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}

interface Said {
  readonly attributes: Readonly<Record<string, string>>
  readonly data: unknown
  readonly partition: number
}

/** The first so many that consumer.py printed. */
async function eventsOf(reader: Rig, count: number): Promise<readonly Said[]> {
  await reader.line(new RegExp(`(^\\{.*\\n){${count}}`, 'm'))
  const lines = reader.output().split('\n')
  return lines.slice(0, count).map((line) => JSON.parse(line) as Said)
}
