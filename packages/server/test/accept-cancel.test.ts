import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { Writable } from 'node:stream'
import { after, before, type TestContext, test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { type Broker, type LogRecord, PublishError, type RecordToPublish } from '@forebay/broker'
import { CancelRequestSchema, type CancelResponse, grpcDefinition, TaskService, TaskState } from '@forebay/protocol'
import { Client, credentials, Metadata, Server, ServerCredentials, type ServiceError, status } from '@grpc/grpc-js'
import { pino } from 'pino'
import { decodeCancellation } from '../src/control.ts'
import { noteRecord } from '../src/records.ts'
import type { Result } from '../src/task.ts'
import { CONTROL_TOPIC, RESULTS_TOPIC } from '../src/topics.ts'
import { accessKeys, type DoorsRig, type DoorsRigOptions, openDoorsRig, queueOptions } from './support/doors-rig.ts'

const auth = accessKeys({ ann: 'a', bob: 'b' })
const done: Result['end'] = { state: 'succeeded', payload: Buffer.from('done'), contentType: 'text/plain' }

let rig: DoorsRig
let server: Server
let client: Client
before(async () => {
  rig = await openDoorsRig({ auth })
  server = new Server()
  server.addService(rig.doors.grpc.definition, rig.doors.grpc.handlers)
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    )
  })
  client = new Client(`127.0.0.1:${port}`, credentials.createInsecure())
})
after(async () => {
  client.close()
  server.forceShutdown()
  await rig.stop()
})

test('a task that waits ends cancelled, for every reader, and the dispatchers are told', async () => {
  const id = await submit()
  const answer = await cancel(id)
  assert.equal(answer.status, 200)
  const view = answer.body as View
  assert.deepEqual([view.id, view.state, view.attempts, view.problem?.code], [id, 'cancelled', 0, 'TASK_CANCELLED'])
  assert.ok(view.finishedAt !== undefined)
  assert.deepEqual((await get(`/v1/tasks/${id}`)).body, view)
  const result = await get(`/v1/tasks/${id}/result`)
  assert.equal(result.status, 409)
  assert.deepEqual([(result.body as View).code, (result.body as View).state], ['TASK_CANCELLED', 'cancelled'])
  const control = await first(rig.broker, CONTROL_TOPIC, 0, (record) => decodeCancellation(record)?.taskId === id)
  assert.deepEqual(decodeCancellation(control), { taskId: id, queue: 'orders', generation: 0 })
})

test('asked again, also by the other door, a cancelled task answers the same, and nothing more is published', async () => {
  const id = await submit()
  const before = await cancel(id)
  const published = await reach(rig)
  assert.deepEqual(await cancel(id), before)
  const { task, result } = await cancelByGrpc(id)
  assert.equal(task!.state, TaskState.CANCELLED)
  assert.equal(result!.problem!.code, 'TASK_CANCELLED')
  assert.equal(await reach(rig), published)
})

test('a task that ended otherwise stays as it is, and the answer says how it ended', async () => {
  const id = await submit()
  await rig.end(id, done, { owner: 'ann' })
  await get(`/v1/tasks/${id}`, 'wait=10')
  const published = await reach(rig)
  const answer = await cancel(id)
  assert.equal(answer.status, 409)
  const problem = answer.body as View
  assert.deepEqual([problem.code, problem.state, problem.task], ['TASK_ENDED', 'succeeded', id])
  const error = await cancelByGrpc(id).then(
    () => assert.fail('it was cancelled'),
    (thrown: ServiceError) => thrown,
  )
  assert.equal(error.code, status.FAILED_PRECONDITION)
  const said = ['forebay-error', 'forebay-task', 'forebay-state'].flatMap((name) => error.metadata.get(name))
  assert.deepEqual(said, ['TASK_ENDED', id, 'succeeded'])
  assert.equal(await reach(rig), published)
})

test('whoever waits for the task is told that it was cancelled', async () => {
  const heard = await listenForTask(rig)
  const waiting = post({ prefer: 'wait=20' })
  const id = await heard.id
  const reading = get(`/v1/tasks/${id}/result`, 'wait=20')
  assert.equal((await cancel(id)).status, 200)
  const response = await waiting
  assert.equal(response.status, 409)
  assert.equal(response.headers.get('forebay-state'), 'cancelled')
  assert.equal(((await response.json()) as View).code, 'TASK_CANCELLED')
  assert.equal(((await reading).body as View).code, 'TASK_CANCELLED')
})

test('who does not own a task learns nothing of it, and nothing happens to it', async () => {
  const id = await submit()
  const published = await reach(rig)
  const foreign = await cancel(id, 'b')
  const unknown = await cancel(damaged(id), 'b')
  assert.deepEqual([foreign.status, unknown.status], [404, 404])
  assert.equal(foreign.text, unknown.text)
  for (const text of ['x', '__proto__', '%2e%2e', `${id}A`, 'A'.repeat(1_024)]) {
    assert.equal((await cancel(text)).status, 404, text)
  }
  assert.equal((await cancel(id, '')).status, 401)
  const error = await cancelByGrpc(id, 'b').then(
    () => assert.fail('it was cancelled'),
    (thrown: ServiceError) => thrown,
  )
  assert.equal(error.code, status.NOT_FOUND)
  assert.equal(await reach(rig), published)
  assert.equal(((await get(`/v1/tasks/${id}`)).body as View).state, 'pending')
})

test('an operator cancels what is anybody’s, and that is written down', async (t) => {
  const lines: { audit?: boolean }[] = []
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push(JSON.parse(chunk.toString()))
      done()
    },
  })
  const keys = [...auth.keys, { principal: 'root', sha256: hash('sha256', 'r'), operator: true }]
  const own = await openDoorsRig({ auth: { keys }, log: pino({}, sink) })
  t.after(() => own.stop())
  const id = await submit(own.url)
  assert.equal((await cancel(id, 'b', own.url)).status, 404)
  assert.equal((await cancel(id, 'r', own.url)).status, 200)
  assert.equal(((await get(`/v1/tasks/${id}`, '', own.url)).body as View).state, 'cancelled')
  assert.equal((await cancel(damaged(id), 'r', own.url)).status, 404)
  const [line, ...more] = lines.filter(({ audit }) => audit === true) as object[]
  assert.deepEqual(more, [])
  const { principal, action, queue, task, owner, state } = line as Record<string, string>
  assert.deepEqual(
    [principal, action, queue, task, owner, state],
    ['root', 'task.cancel', 'orders', id, 'ann', 'cancelled'],
  )
})

test('of cancelling and ending at once one wins, and everybody is told of the same one', async () => {
  for (let round = 0; round < 10; round++) {
    const id = await submit()
    const others = Array.from({ length: 5 }, () => cancel(id))
    const [, ...answers] = await Promise.all([rig.end(id, done, { owner: 'ann' }), ...others, cancel(id)])
    const { state } = (await get(`/v1/tasks/${id}`, 'wait=10')).body as View
    const wanted = state === 'cancelled' ? 200 : 409
    for (const answer of answers) assert.deepEqual([answer.status, (answer.body as View).state], [wanted, state])
  }
})

test('a cancellation is final on every gateway', async (t) => {
  const other = await openDoorsRig({ auth, shared: rig })
  t.after(() => other.stop())
  const id = await submit()
  assert.equal((await cancel(id, 'a', other.url)).status, 200)
  assert.equal(((await get(`/v1/tasks/${id}`)).body as View).state, 'cancelled')
  assert.equal((await cancel(id)).status, 200)
})

test('a task in its second life is cancelled in that one, also when it begins just then', async (t) => {
  let between: (() => Promise<unknown>) | null = null
  const own = await openRigWith(t, async (broker, records) => {
    if (records[0]?.topic === RESULTS_TOPIC) {
      const act = between
      between = null
      await act?.()
    }
    return broker.publish(records)
  })
  const dead: Result['end'] = { state: 'dead', fault: { code: 'WORKER_FAILED', detail: 'no' } }
  const redrive = async (id: string) => {
    await own.end(id, dead, { owner: 'ann' })
    const about = { taskId: id, queue: 'orders', owner: 'ann', attempts: 0, atMs: Date.now(), fault: null }
    await own.broker.publish([noteRecord({ ...about, state: 'pending', generation: 1 }, own.replies.lane)])
  }
  const earlier = await submit(own.url)
  await redrive(earlier)
  const meanwhile = await submit(own.url)
  between = () => redrive(meanwhile)
  for (const id of [meanwhile, earlier]) {
    const answer = await cancel(id, 'a', own.url)
    const view = answer.body as View
    assert.deepEqual([answer.status, view.state, view.generation], [200, 'cancelled', 1], answer.text)
  }
})

test('what the log did not take is not cancelled; what it may have taken can be asked for again', async (t) => {
  let outcome: 'refused' | 'unknown' | null = 'refused'
  const own = await openRigWith(t, async (broker, records) => {
    if (records[0]?.topic !== RESULTS_TOPIC || outcome === null) return broker.publish(records)
    if (outcome === 'unknown') await broker.publish(records)
    throw new PublishError('the log is away', [{ index: 0, outcome, cause: new Error('away') }])
  })
  const id = await submit(own.url)
  const refused = await cancel(id, 'a', own.url)
  assert.deepEqual([refused.status, (refused.body as View).code], [503, 'NOT_ACCEPTED'])
  assert.equal(((await get(`/v1/tasks/${id}`, '', own.url)).body as View).state, 'pending')
  outcome = 'unknown'
  const unknown = await cancel(id, 'a', own.url)
  const { code, task, retryable } = unknown.body as View
  assert.deepEqual([unknown.status, code, task, retryable], [503, 'OUTCOME_UNKNOWN', id, true])
  outcome = null
  assert.equal((await cancel(id, 'a', own.url)).status, 200)
})

test('dispatchers that cannot be told make no difference to the answer', async (t) => {
  const own = await openRigWith(t, async (broker, records) => {
    if (records[0]?.topic !== CONTROL_TOPIC) return broker.publish(records)
    throw new PublishError('the log is away', [{ index: 0, outcome: 'unknown', cause: new Error('away') }])
  })
  assert.equal((await cancel(await submit(own.url), 'a', own.url)).status, 200)
})

interface View {
  readonly id: string
  readonly state: string
  readonly attempts: number
  readonly generation?: number
  readonly finishedAt?: string
  readonly problem?: View
  readonly code: string
  readonly task: string
  readonly retryable: boolean
}

interface Heard {
  readonly status: number
  readonly text: string
  readonly body: unknown
}

type Publish = (broker: Broker, records: readonly RecordToPublish[]) => ReturnType<Broker['publish']>

/** A rig whose doors publish through `publish`; its log is real. */
async function openRigWith(t: TestContext, publish: Publish): Promise<DoorsRig> {
  const wrapBroker: NonNullable<DoorsRigOptions['wrapBroker']> = (broker) => ({
    capabilities: broker.capabilities,
    open: (request) => broker.open(request),
    publish: (records) => publish(broker, records),
    consume: (request) => broker.consume(request),
    listen: (request) => broker.listen(request),
    inspect: (request) => broker.inspect(request),
    close: () => broker.close(),
  })
  const own = await openDoorsRig({ auth, queues: [queueOptions('orders')], wrapBroker })
  t.after(() => own.stop())
  return own
}

function post(headers: Record<string, string> = {}, url = rig.url): Promise<Response> {
  const init = { method: 'POST', body: 'x', headers: { authorization: 'Bearer a', ...headers } }
  return fetch(`${url}/v1/queues/orders/tasks`, init)
}

async function submit(url = rig.url): Promise<string> {
  return ((await (await post({}, url)).json()) as View).id
}

function cancel(id: string, key = 'a', url = rig.url): Promise<Heard> {
  return ask('DELETE', `${url}/v1/tasks/${id}`, key)
}

function get(path: string, prefer = '', url = rig.url): Promise<Heard> {
  return ask('GET', url + path, 'a', prefer === '' ? {} : { prefer })
}

async function ask(method: string, url: string, key: string, headers: Record<string, string> = {}): Promise<Heard> {
  const response = await fetch(url, { method, headers: { authorization: `Bearer ${key}`, ...headers } })
  const text = await response.text()
  return { status: response.status, text, body: JSON.parse(text) }
}

function cancelByGrpc(id: string, key = 'a'): Promise<CancelResponse> {
  const { path, requestSerialize, responseDeserialize } = grpcDefinition(TaskService).Cancel!
  const metadata = new Metadata()
  metadata.set('authorization', `Bearer ${key}`)
  const request = create(CancelRequestSchema, { id })
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, metadata, (error, response) =>
      error === null ? resolve(response as CancelResponse) : reject(error),
    )
  })
}

function damaged(id: string): string {
  return id.slice(0, -1) + (id.endsWith('A') ? 'B' : 'A')
}

/** How many results and notes there are. */
async function reach({ broker }: DoorsRig): Promise<number> {
  return (await broker.inspect({ topics: [RESULTS_TOPIC] })).reduce((sum, { end }) => sum + end, 0)
}

/** Resolves once it listens, with a promise of the id of the next task that comes to the log. */
async function listenForTask({ broker }: DoorsRig): Promise<{ readonly id: Promise<string> }> {
  const found = Promise.withResolvers<string>()
  const listeners = await Promise.all(
    [0, 1, 2, 3].map((partition) => broker.listen({ topic: 'forebay.tasks.orders', partition, from: 'latest' })),
  )
  for (const listener of listeners) {
    void (async () => {
      for await (const [record] of listener) {
        found.resolve(Buffer.from(record!.headers.find(([name]) => name === 'ce_id')![1]).toString())
      }
    })()
  }
  void found.promise.then(() => Promise.all(listeners.map((listener) => listener.close())))
  return { id: found.promise }
}

async function first(
  broker: Broker,
  topic: string,
  partition: number,
  isIt: (record: LogRecord) => boolean,
): Promise<LogRecord> {
  const listener = await broker.listen({ topic, partition, from: 'earliest' })
  try {
    for await (const records of listener) {
      const found = records.find(isIt)
      if (found !== undefined) return found
    }
  } finally {
    await listener.close()
  }
  throw new Error(`${topic} ended.`)
}
