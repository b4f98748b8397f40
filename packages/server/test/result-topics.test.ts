import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Broker, PublishError, type RecordToPublish, systemClock, systemRandom } from '@forebay/broker'
import { pino } from 'pino'
import { createFinisher } from '../src/finish/finisher.ts'
import { resultPublisher, resultTopics } from '../src/finish/result-topics.ts'
import { RESULTS_TOPIC } from '../src/topics.ts'
import { jsonLines, openDeadServer } from './support/dead-server.ts'
import { queueOptions } from './support/doors-rig.ts'
import { readCopies } from './support/result-copies.ts'

const log = pino({ level: 'silent' })
const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'

test('every end of a task of a queue with a result topic is there as a plain CloudEvent', async () => {
  const queues = {
    orders: { resultTopic: 'shop.results', partitions: 1 },
    mails: { resultTopic: 'shop.results', partitions: 1 },
    quiet: {},
  }
  await using rig = await openDeadServer(queues)
  rig.answer = (body) => (body === 'bad' ? { status: 503, body: 'down' } : { status: 200, body: `done ${body}` })
  const good = await rig.submit('orders', 'good', { 'forebay-key': inHeader('carl-ü'), traceparent: TRACE })
  await rig.until(good, 'succeeded')
  const bad = await rig.submit('mails', 'bad')
  await rig.until(bad, 'dead')
  await rig.until(await rig.submit('quiet', 'unheard'), 'succeeded')
  const late = await rig.submit('orders', 'late', { 'forebay-delay': '1h' })
  assert.equal((await fetch(`${rig.url}/v1/tasks/${late}`, { method: 'DELETE' })).status, 200)

  const [first, second, third, ...more] = await readCopies(rig.broker, 'shop.results', 3)
  assert.equal(more.length, 0)
  assert.match(first!.headers.ce_time!, /^\d{4}-\d\d-\d\dT/)
  assert.deepEqual(first, {
    key: 'carl-ü',
    value: 'done good',
    headers: {
      ce_specversion: '1.0',
      ce_id: good,
      ce_type: 'forebay.task.succeeded',
      ce_source: '/forebay/queues/orders',
      ce_subject: good,
      ce_time: first!.headers.ce_time,
      'content-type': 'text/plain',
      'fb-state': 'succeeded',
      'fb-attempts': '1',
      traceparent: TRACE,
    },
  })
  assert.equal(second!.key, bad)
  assert.equal(second!.headers.ce_type, 'forebay.task.dead')
  assert.equal(second!.headers.ce_source, '/forebay/queues/mails')
  assert.equal(second!.headers['content-type'], 'application/problem+json')
  const problem = JSON.parse(second!.value) as Record<string, unknown>
  assert.equal(problem.code, 'TARGET_UNAVAILABLE')
  assert.equal(problem.task, bad)
  assert.equal(third!.key, late)
  assert.equal(third!.headers.ce_type, 'forebay.task.cancelled')
})

test('a task that lives again has an event of its own', async () => {
  await using rig = await openDeadServer({ orders: { resultTopic: 'shop.results', partitions: 1 } })
  const task = await rig.submit('orders', 'x')
  await rig.until(task, 'dead')
  rig.answer = () => ({ status: 200, body: 'at last' })
  const redriven = await jsonLines(await rig.post('/v1/admin/dead/redrive', { queue: 'orders', reason: 'mended' }))
  assert.equal(redriven.at(-1)!.redriven, 1)
  await rig.until(task, 'succeeded')
  const copies = await readCopies(rig.broker, 'shop.results', 2)
  assert.deepEqual(
    copies.map(({ headers }) => [headers.ce_id, headers.ce_subject, headers.ce_type]),
    [
      [task, task, 'forebay.task.dead'],
      [`${task}.1`, task, 'forebay.task.succeeded'],
    ],
  )
})

const TOPICS = resultTopics([queueOptions('orders', { resultTopic: 'copies' })], 1_000_000)
const RESULT = {
  taskId: 't1',
  queue: 'orders',
  owner: 'o',
  attempts: 1,
  generation: 0,
  finishedAtMs: 0,
  end: { state: 'succeeded', payload: Buffer.from('yes'), contentType: 'text/plain' },
} as const
const TASK = { lane: 0, key: 'k', headers: [] } as const

test('a task is not settled before its copy is in the log, and its result does not go twice for that', async () => {
  const published: string[][] = []
  let refusals = 2
  const broker = logThat((records) => {
    published.push(records.map(({ topic }) => topic))
    const copyAt = records.findIndex(({ topic }) => topic === 'copies')
    return refusals-- > 0 ? copyAt : null
  })
  const finisher = createFinisher({ broker, resultTopics: TOPICS, clock: systemClock, random: systemRandom, log })
  assert.equal(await finisher.finish(RESULT, TASK, null, new AbortController().signal), true)
  assert.deepEqual(published, [[RESULTS_TOPIC, 'copies'], ['copies'], ['copies']])
  finisher.close()
})

test('a gateway publishes no copy of a result that the log did not take', async () => {
  const published: string[] = []
  const broker = logThat((records) => {
    published.push(...records.map(({ topic }) => topic))
    return 0
  })
  const publish = resultPublisher({ broker, topics: TOPICS, clock: systemClock, log })
  await assert.rejects(publish(RESULT, 0), PublishError)
  assert.deepEqual(published, [RESULTS_TOPIC])
})

test('a gateway tries a copy on, and that it failed in the end takes nothing back', async () => {
  const published: string[] = []
  const broker = logThat((records) => {
    published.push(...records.map(({ topic }) => topic))
    return records[0]!.topic === 'copies' ? 0 : null
  })
  const publish = resultPublisher({ broker, topics: TOPICS, clock: systemClock, log })
  await publish(RESULT, 0)
  assert.deepEqual(published, [RESULTS_TOPIC, 'copies', 'copies', 'copies'])
})

test('a key that another producer made too large for the copy gives way to the id', () => {
  const payload = Buffer.alloc(900_000)
  const result = { ...RESULT, end: { ...RESULT.end, payload } }
  const copy = (key: string) => String(TOPICS.copy(result, { key, headers: [] })!.key)
  assert.equal(copy('k'.repeat(200)), 'k'.repeat(200))
  assert.equal(copy('k'.repeat(100_000)), 't1')
})

test('an answer outside the log is named by its copy', () => {
  const blob = { sha256: 'a'.repeat(64), bytes: 7 }
  const end = { ...RESULT.end, payload: Buffer.alloc(0), blob }
  const { headers, value } = TOPICS.copy({ ...RESULT, end }, TASK)!
  assert.equal(value.length, 0)
  assert.equal(String(headers.find(([name]) => name === 'fb-blob')![1]), `sha256:${'a'.repeat(64)}:7`)
})

/** Bytes of UTF-8 as a header carries them. */
function inHeader(text: string): string {
  return Buffer.from(text).toString('latin1')
}

/** A log that refuses the record of the index that `refuses` names, and takes the others. */
function logThat(refuses: (records: readonly RecordToPublish[]) => number | null): Broker {
  const capabilities = { recordBytesMax: 1_000_000 } as Broker['capabilities']
  const publish: Broker['publish'] = async (records) => {
    const index = refuses(records)
    if (index === null) return records.map(({ topic }, offset) => ({ topic, partition: 0, offset }))
    throw new PublishError('refused', [{ index, outcome: 'refused', cause: new Error('full') }])
  }
  return { capabilities, publish } as Broker
}
