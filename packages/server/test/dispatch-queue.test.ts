import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Broker, type LogRecord, systemClock, systemRandom } from '@forebay/broker'
import { embeddedBroker } from '@forebay/broker/embedded'
import { pino } from 'pino'
import { CONTROL_TOPIC_SPEC } from '../src/control.ts'
import { startCancellations } from '../src/dispatch/cancellations.ts'
import { type QueueDispatcher, startQueueDispatcher } from '../src/dispatch/queue-dispatcher.ts'
import { HttpTarget } from '../src/execute/http-target.ts'
import { createFinisher } from '../src/finish/finisher.ts'
import type { QueueOptions } from '../src/options.ts'
import { decodeReported, type Reported, taskRecord } from '../src/records.ts'
import { PLAIN_TASK, type Result, type Task } from '../src/task.ts'
import { createMetrics } from '../src/telemetry.ts'
import { deadTopic, dispatchGroup, RESULTS_TOPIC, taskTopic } from '../src/topics.ts'
import { PLAIN_POLICIES } from './support/plain-queue.ts'

const TOPIC = taskTopic('q')
const LANES = 2

test('a task goes to its target once, and its result is published before its position moves', async () => {
  await using rig = await openRig({})
  await rig.hand({ id: 'a', payload: 'ok' })
  const { result } = await rig.resultOf('a')
  assert.equal(result.attempts, 1)
  assert.deepEqual(result.end, { state: 'succeeded', payload: Buffer.from('OK'), contentType: 'text/plain' })
  await rig.stop()
  assert.deepEqual(await rig.committed(), [1])
})

test('a retryable failure is noted and tried again, and the caller sees the last outcome', async () => {
  await using rig = await openRig({
    retry: {
      attemptsMax: 5,
      withinMs: 60_000,
      backoffMs: 5,
      backoffMaxMs: 5,
      jitter: 'full' as const,
      on: null,
      budget: null,
    },
  })
  await rig.hand({ id: 'a', payload: 'fail 2' })
  const { result, notes } = await rig.resultOf('a')
  assert.equal(result.end.state, 'succeeded')
  assert.equal(result.attempts, 3)
  assert.deepEqual(
    notes.map((note) => [note.state, note.attempts, note.fault?.code]),
    [
      ['retrying', 1, 'TARGET_UNAVAILABLE'],
      ['retrying', 2, 'TARGET_UNAVAILABLE'],
    ],
  )
})

test('a task whose attempts are used up ends dead, and its dead letter has its bytes, key and origin', async () => {
  await using rig = await openRig({
    retry: {
      attemptsMax: 2,
      withinMs: 60_000,
      backoffMs: 1,
      backoffMaxMs: 1,
      jitter: 'full' as const,
      on: null,
      budget: null,
    },
  })
  await rig.hand({ id: 'a', key: 'k', payload: 'fail 100' })
  const { result } = await rig.resultOf('a')
  assert.equal(result.end.state, 'dead')
  assert.equal(result.attempts, 2)
  const [letter] = await rig.read(deadTopic(TOPIC), 0, 1)
  assert.equal(String(letter!.value), 'fail 100')
  assert.equal(String(letter!.key), 'k')
  assert.equal(header(letter!, 'fb-dead-task'), 'a')
  assert.equal(header(letter!, 'fb-dead-origin'), `${TOPIC}:0:0`)
  assert.equal(header(letter!, 'fb-dead-attempts'), '2')
})

test('a request at fault ends failed at the first attempt, without a dead letter', async () => {
  await using rig = await openRig({})
  await rig.hand({ id: 'a', payload: 'refuse' })
  const { result } = await rig.resultOf('a')
  assert.equal(result.end.state, 'failed')
  assert.equal(result.attempts, 1)
  assert.equal(await rig.endOf(deadTopic(TOPIC)), 0)
})

test('with order by key a key waits behind its own retries while other keys go on', async () => {
  await using rig = await openRig({
    order: 'key',
    retry: {
      attemptsMax: 20,
      withinMs: 60_000,
      backoffMs: 30,
      backoffMaxMs: 30,
      jitter: 'full' as const,
      on: null,
      budget: null,
    },
  })
  await rig.hand(
    { id: 'a1', key: 'a', payload: 'fail 4' },
    { id: 'a2', key: 'a', payload: 'ok a2' },
    { id: 'b1', key: 'b', payload: 'ok b1' },
    { id: 'a3', key: 'a', payload: 'ok a3' },
  )
  const ends = new Map<string, number>()
  for (const id of ['b1', 'a1', 'a2', 'a3']) ends.set(id, (await rig.resultOf(id)).at)
  assert.ok(ends.get('b1')! < ends.get('a1')!, 'b did not wait for a')
  assert.ok(ends.get('a1')! < ends.get('a2')! && ends.get('a2')! < ends.get('a3')!)
  const ofA = rig.calls.filter((body) => !body.includes('b1'))
  assert.deepEqual(ofA.slice(0, 5), Array(5).fill('fail 4'), 'nothing of the key ran between the retries')
})

test('a task past its deadline is not handed out and ends expired', async () => {
  await using rig = await openRig({})
  await rig.hand({ id: 'a', payload: 'ok', acceptedAtMs: Date.now() - 10_000, budgetMs: 1_000 })
  const { result } = await rig.resultOf('a')
  assert.equal(result.end.state, 'expired')
  assert.equal(result.attempts, 0)
  assert.deepEqual(rig.calls, [])
})

test('a task that waits for a retry beyond its deadline ends expired or dead, never runs late', async () => {
  await using rig = await openRig({
    retry: {
      attemptsMax: 50,
      withinMs: 60_000,
      backoffMs: 20,
      backoffMaxMs: 20,
      jitter: 'full' as const,
      on: null,
      budget: null,
    },
  })
  await rig.hand({ id: 'a', payload: 'fail 100', budgetMs: 150 })
  const { result } = await rig.resultOf('a')
  assert.ok(result.end.state === 'expired' || result.end.state === 'dead')
  assert.ok(result.attempts < 50)
})

test('a stop names what did not finish in its grace time, and the next start runs it again', async () => {
  await using rig = await openRig({})
  await rig.hand({ id: 'slow', payload: 'hang' })
  await rig.called(1)
  const { left } = await rig.stop(50)
  assert.equal(left.length, 1)
  assert.match(left[0]!, /slow/)
  await rig.startDispatcher()
  await rig.called(2)
  assert.equal(rig.calls.filter((body) => body === 'hang').length, 2)
  rig.release()
  assert.equal((await rig.resultOf('slow')).result.end.state, 'succeeded')
})

test('a stop that has the time finishes what runs and takes nothing new', async () => {
  await using rig = await openRig({ concurrency: 1 })
  await rig.hand({ id: 'one', payload: 'hang' }, { id: 'two', payload: 'ok' })
  await rig.called(1)
  const stopping = rig.stop(10_000)
  rig.release()
  assert.deepEqual((await stopping).left, [])
  assert.equal((await rig.resultOf('one')).result.end.state, 'succeeded')
  assert.deepEqual(rig.calls, ['hang'])
  await rig.startDispatcher()
  assert.equal((await rig.resultOf('two')).result.end.state, 'succeeded')
  assert.deepEqual(rig.calls, ['hang', 'ok'])
})

test('concurrency bounds what runs at once', async () => {
  await using rig = await openRig({ concurrency: 3 })
  await rig.hand(...Array.from({ length: 10 }, (_, number) => ({ id: `t${number}`, payload: 'hang' })))
  await rig.called(3)
  await systemClock.sleep(50)
  assert.equal(rig.calls.length, 3)
  rig.release()
  for (let number = 0; number < 10; number++) await rig.resultOf(`t${number}`)
  assert.equal(rig.mostAtOnce, 3)
})

for (const order of ['none', 'key'] as const) {
  test(`the rate of a key holds for each key alone, with order ${order}`, async () => {
    await using rig = await openRig({ order, perKey: { concurrency: null, rate: { count: 10, perMs: 1_000 } } })
    const beganMs = performance.now()
    const tasks = Array.from({ length: 14 }, (_, index) => ['a', 'b'].map((key) => ({ id: `${key}${index}`, key })))
    await rig.hand({ id: 'free', payload: 'x' }, ...tasks.flat().map((one) => ({ ...one, payload: one.key })))
    await rig.resultOf('free')
    for (const key of ['a', 'b']) {
      await rig.resultOf(`${key}9`)
      await rig.resultOf(`${key}13`)
    }
    const tookMs = performance.now() - beganMs
    assert.ok(tookMs >= 390, `ten at once and four at ten a second took ${tookMs} ms`)
    assert.equal(rig.calls.length, 29)
  })
}

interface Given {
  readonly id: string
  readonly payload: string
  readonly key?: string
  readonly acceptedAtMs?: number
  readonly budgetMs?: number
}

/** A real log and a real HTTP target whose answer the body asks for. */
async function openRig(given: Partial<QueueOptions>) {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-dispatch-'))
  const broker: Broker = embeddedBroker({ dir, commitIntervalMs: 20 })
  await broker.open({
    topics: [
      { name: TOPIC, partitions: 1, retentionMs: 'forever' },
      { name: deadTopic(TOPIC), partitions: 1, retentionMs: 'forever' },
      CONTROL_TOPIC_SPEC,
      { name: RESULTS_TOPIC, partitions: LANES, retentionMs: 'forever' },
    ],
  })
  const calls: string[] = []
  const failures = new Map<string, number>()
  const news = new EventTarget()
  let hanging: (() => void)[] | null = []
  let atOnce = 0
  const rig = { mostAtOnce: 0 }
  const server = createServer(async (request, response) => {
    const body = await textOf(request)
    const id = String(request.headers['forebay-task'])
    calls.push(body)
    rig.mostAtOnce = Math.max(rig.mostAtOnce, ++atOnce)
    news.dispatchEvent(new Event('news'))
    if (body === 'hang' && hanging !== null) await new Promise<void>((resolve) => hanging?.push(resolve))
    const failed = failures.get(id) ?? 0
    const toFail = Number(/^fail (\d+)/.exec(body)?.[1] ?? 0)
    atOnce--
    response.setHeader('content-type', 'text/plain')
    if (body === 'refuse') response.writeHead(422).end('no')
    else if (failed < toFail) {
      failures.set(id, failed + 1)
      response.writeHead(503).end('later')
    } else response.end(body.toUpperCase())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const log = pino({ level: 'silent' })
  const clock = systemClock
  const random = systemRandom
  const finisher = createFinisher({ broker, clock, random, log })
  const cancellations = startCancellations({ broker, clock, random, log })
  const queue: QueueOptions = {
    name: 'q',
    topic: TOPIC,
    route: null,
    key: null,
    order: 'none',
    target: { kind: 'http', url },
    concurrency: 100,
    timeoutMs: 20_000,
    deadlineMs: 60_000,
    retry: {
      attemptsMax: 5,
      withinMs: 60_000,
      backoffMs: 1,
      backoffMaxMs: 1,
      jitter: 'full' as const,
      on: null,
      budget: null,
    },
    ...PLAIN_POLICIES,
    schema: null,
    bodyBytesMax: 1_000_000,
    partitions: 1,
    ...given,
  }
  let dispatcher: QueueDispatcher
  let target: HttpTarget
  const startDispatcher = async () => {
    target = new HttpTarget({ url, resultBytesMax: 1_000_000, clock })
    const meters = createMetrics().queue('q')
    dispatcher = await startQueueDispatcher({
      queue,
      broker,
      target,
      finisher,
      cancellations,
      parking: null,
      partitions: 1,
      lanes: LANES,
      clock,
      random,
      log,
      meters,
    })
  }
  await startDispatcher()

  const reported: { at: number; one: Reported }[] = []
  const listeners = await Promise.all(
    Array.from({ length: LANES }, (_, partition) =>
      broker.listen({ topic: RESULTS_TOPIC, partition, from: 'earliest' }),
    ),
  )
  const hearing = listeners.map(async (listener) => {
    for await (const records of listener) {
      for (const record of records) reported.push({ at: reported.length, one: decodeReported(record)! })
      news.dispatchEvent(new Event('news'))
    }
  })
  const until = async <Found>(look: () => Found | undefined): Promise<Found> => {
    const giveUpAt = performance.now() + 15_000
    for (;;) {
      const found = look()
      if (found !== undefined) return found
      if (performance.now() > giveUpAt) throw new Error(`not within 15 s; calls: ${calls.join(', ')}`)
      await Promise.race([once(news, 'news'), clock.sleep(100)])
    }
  }

  return Object.assign(rig, {
    calls,
    startDispatcher,
    hand: (...tasks: Given[]) =>
      broker.publish(
        tasks.map((one) =>
          taskRecord(
            {
              id: one.id,
              queue: 'q',
              key: one.key ?? null,
              payload: Buffer.from(one.payload),
              contentType: 'text/plain',
              headers: [],
              owner: 'tester',
              lane: 1,
              acceptedAtMs: one.acceptedAtMs ?? Date.now(),
              budgetMs: one.budgetMs ?? 60_000,
              ...PLAIN_TASK,
            } satisfies Task,
            TOPIC,
            0,
          ),
        ),
      ),
    resultOf: async (id: string) => {
      const found = await until(() => reported.find(({ one }) => one.kind === 'result' && one.result.taskId === id))
      const { result } = found.one as { result: Result }
      const notes = reported.flatMap(({ one }) => (one.kind === 'note' && one.note.taskId === id ? [one.note] : []))
      return { result, notes, at: found.at }
    },
    called: (count: number) => until(() => (calls.length >= count ? true : undefined)),
    release() {
      for (const resolve of hanging ?? []) resolve()
      hanging = null
    },
    async read(topic: string, partition: number, count: number): Promise<LogRecord[]> {
      const listener = await broker.listen({ topic, partition, from: 'earliest' })
      const records: LogRecord[] = []
      for await (const batch of listener) {
        records.push(...batch)
        if (records.length >= count) break
      }
      await listener.close()
      return records
    },
    endOf: async (topic: string) => (await broker.inspect({ topics: [topic] }))[0]!.end,
    committed: async () =>
      (await broker.inspect({ topics: [TOPIC], group: dispatchGroup('q') })).map((one) => one.committed),
    async stop(graceMs = 5_000) {
      const report = await dispatcher.stop({ graceMs })
      await target.stop(AbortSignal.abort())
      return report
    },
    async [Symbol.asyncDispose]() {
      this.release()
      await this.stop(0)
      for (const listener of listeners) await listener.close()
      await Promise.all(hearing)
      finisher.close()
      await cancellations.close()
      await broker.close()
      server.closeAllConnections()
      server.close()
      rmSync(dir, { recursive: true, force: true })
    },
  })
}

function header(record: LogRecord, name: string): string | undefined {
  const found = record.headers.find((one) => one[0] === name)
  return found === undefined ? undefined : String(found[1])
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request) text += chunk
  return text
}
