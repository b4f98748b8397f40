import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { kafkaBroker } from '@forebay/broker/kafka'
import { Producer as ForeignProducer } from '@platformatic/kafka'
import { type Kafka, startKafka } from '../../../scripts/rig/kafka.ts'
import { openDeadLetters } from '../src/again/dead-letters.ts'
import { replayEvents } from '../src/again/replay.ts'
import { createConsumer } from '../src/consumer.ts'
import { defineEvent } from '../src/define-event.ts'
import { createProducer } from '../src/producer.ts'
import { headersOf, until } from './event-rig.ts'
import { countedOn, verified } from './some-events.ts'

const PARTITIONS = 4
let kafka: Kafka
before(async () => {
  kafka = await startKafka()
})
after(() => kafka[Symbol.asyncDispose]())

const newBroker = () => kafkaBroker({ bootstrap: [kafka.bootstrap], commitIntervalMs: 100, sessionTimeoutMs: 6_000 })

test('two members share the partitions; one is killed, and the other does all that is left, each key in order', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-events-'))
  const journal = join(dir, 'journal')
  writeFileSync(journal, '')
  await using producer = await createProducer({
    broker: newBroker(),
    source: '/s',
    events: [verified],
    partitions: PARTITIONS,
  })
  const child = spawn(process.execPath, [
    join(import.meta.dirname, 'crashing-consumer.ts'),
    `kafka:${kafka.bootstrap}`,
    journal,
  ])
  child.stderr.pipe(process.stderr)
  const exited = once(child, 'exit')
  const theirs = () => readFileSync(journal, 'utf8').match(/^end .*$/gm) ?? []
  const seen: { id: string; key: string; partition: number }[] = []
  await using _member = await createConsumer({
    broker: newBroker(),
    group: 'mails',
    events: [verified],
    handlers: {
      user_account_verified: async ({ id, key }, { position: { partition } }) => {
        await new Promise((resolve) => setTimeout(resolve, 2))
        seen.push({ id, key: key!, partition })
      },
    },
  })
  let published = 0
  const publish = (count: number) =>
    Promise.all(
      Array.from({ length: count }, () => {
        const index = published++
        return producer.publish(verified, { data: { userId: `u${index % 20}` }, id: `e-${index}` })
      }),
    )
  // Until both have something to do.
  while (theirs().length === 0 || seen.length === 0) await publish(40)
  await publish(400)
  child.kill('SIGKILL')
  await exited
  await publish(100)
  const idsOfTheirs = new Set(theirs().map((line) => line.split(' ')[3]))
  const all = Array.from({ length: published }, (_, index) => `e-${index}`)
  const done = () => new Set([...idsOfTheirs, ...seen.map(({ id }) => id)]).size
  await until(() => done() === published)
  assert.ok(all.every((id) => idsOfTheirs.has(id) || seen.some((one) => one.id === id)))
  assert.equal(new Set(seen.map(({ partition }) => partition)).size, PARTITIONS)
  for (const of of Map.groupBy(seen, ({ key }) => key).values()) {
    const numbers = [...new Set(of.map(({ id }) => Number(id.slice(2))))]
    assert.deepEqual(
      numbers,
      numbers.toSorted((a, b) => a - b),
    )
  }
  rmSync(dir, { recursive: true })
})

test('a new group reads all from the beginning, and its failures are its own', async () => {
  const seen = new Set<string>()
  const broker = newBroker()
  await using consumer = await createConsumer({
    broker,
    group: 'late',
    retry: { attemptsMax: 1 },
    events: [verified],
    handlers: {
      user_account_verified: ({ id }) => {
        seen.add(id)
        if (id === 'e-0') throw new Error('not this one')
      },
    },
  })
  const states = await broker.inspect({ topics: ['accounts', 'accounts.mails.dead'] })
  const count = states.reduce((sum, { topic, end }) => sum + (topic === 'accounts' ? end : 0), 0)
  assert.ok(count > 500)
  await until(() => seen.size === count && consumer.counts.dead === 1)
  const letters = await broker.inspect({ topics: ['accounts.late.dead', 'accounts.mails.dead'] })
  assert.deepEqual(Object.fromEntries(letters.map(({ topic, end }) => [topic, end])), {
    'accounts.late.dead': 1,
    'accounts.mails.dead': 0,
  })
})

test('records of a producer that nobody here wrote: binary, structured, tombstones', async () => {
  const thing = defineEvent('thing_made', { topic: 'foreign', schema: verified.schema })
  const broker = newBroker()
  const seen: unknown[] = []
  await using consumer = await createConsumer({
    broker,
    group: 'mails',
    events: [thing],
    partitions: 1,
    handlers: { thing_made: ({ id, key, data: { userId } }) => seen.push([id, key, userId]) },
  })
  const foreign = new ForeignProducer({ clientId: 'foreign', bootstrapBrokers: [kafka.bootstrap] })
  const binary = (id: string, type: string) => ({ ce_specversion: '1.0', ce_id: id, ce_source: '/py', ce_type: type })
  const bytes = (headers: Record<string, string>) =>
    new Map(Object.entries(headers).map(([name, value]) => [Buffer.from(name), Buffer.from(value)]))
  const document = { specversion: '1.0', id: 'structured', source: '/py', type: 'thing_made', data: { userId: 'b' } }
  const data = Buffer.from('{"userId":"a"}')
  await foreign.send({
    acks: -1,
    messages: [
      { topic: 'foreign', key: Buffer.from('k'), value: data, headers: bytes(binary('binary', 'thing_made')) },
      {
        topic: 'foreign',
        value: Buffer.from(JSON.stringify(document)),
        headers: bytes({ 'content-type': 'application/cloudevents+json; charset=UTF-8' }),
      },
      { topic: 'foreign', key: Buffer.from('k'), headers: bytes(binary('tombstone', 'thing_made')) },
      { topic: 'foreign', key: Buffer.from('k'), headers: bytes(binary('of others', 'other_thing')) },
    ],
  })
  await foreign.close()
  await until(() => seen.length === 2 && consumer.counts.dead === 1 && consumer.counts.skipped === 1)
  assert.deepEqual(seen.toSorted(), [
    ['binary', 'k', 'a'],
    ['structured', null, 'b'],
  ])
  const listener = await broker.listen({ topic: 'foreign.mails.dead', partition: 0, from: 'earliest' })
  for await (const [letter] of listener) {
    const { ce_id: id, 'fb-dead-code': code, 'fb-dead-tombstone': tombstone } = headersOf(letter!)
    assert.deepEqual([id, code, tombstone], ['tombstone', 'EVENT_UNDECODABLE', 'true'])
    break
  }
  await listener.close()
})

test('another program redrives dead letters and replays old events to one group, which began at a time', async () => {
  const counted = countedOn('payments')
  const events = [counted]
  await using producer = await createProducer({ broker: newBroker(), source: '/s', events, partitions: PARTITIONS })
  const publish = (counter: string, value: number) => producer.publish(counted, { data: { counter, value } })
  await publish('old', 0)
  const timeMs = Date.now() + 1
  while (Date.now() <= timeMs) await new Promise((resolve) => setTimeout(resolve, 1))
  await Promise.all([0, 1, 2].flatMap((value) => [publish('a', value), publish('b', value)]))
  let mended = false
  const seen: string[] = []
  const others: string[] = []
  await using payers = await createConsumer({
    broker: newBroker(),
    group: 'payers',
    from: { timeMs },
    events,
    retry: { attemptsMax: 1 },
    handlers: {
      counted: ({ data: { counter, value } }, { redrives }) => {
        if (counter === 'b' && !mended) throw new Error('not yet')
        seen.push(`${counter} ${value} ${redrives}`)
      },
    },
  })
  await using _others = await createConsumer({
    broker: newBroker(),
    group: 'others',
    events,
    handlers: { counted: ({ data: { counter, value } }) => others.push(`${counter} ${value}`) },
  })
  await until(() => payers.counts.dead === 3 && payers.counts.handled === 3 && others.length === 7)
  assert.deepEqual(seen.splice(0), ['a 0 null', 'a 1 null', 'a 2 null'])
  mended = true
  await using letters = await openDeadLetters({ broker: newBroker(), group: 'payers', events })
  assert.equal((await letters.redrive({ filter: { key: 'b' } }, { by: 'ada', ratePerSecond: 1_000 })).redriven, 3)
  await until(() => seen.length === 3)
  assert.deepEqual(seen.splice(0), ['b 0 1', 'b 1 1', 'b 2 1'])
  assert.equal((await letters.list()).total, 0)
  const replay = { broker: newBroker(), group: 'payers', events, from: { timeMs }, keys: ['a', 'old'] }
  assert.equal((await replayEvents({ ...replay, ratePerSecond: 1_000 })).replayed, 3)
  await until(() => seen.length === 3)
  assert.deepEqual(seen, ['a 0 0', 'a 1 0', 'a 2 0'])
  assert.equal(others.length, 7)
})
