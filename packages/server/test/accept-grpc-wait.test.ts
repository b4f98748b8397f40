import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { TaskState } from '@forebay/protocol'
import { type ServiceError, status } from '@grpc/grpc-js'
import type { Result } from '../src/task.ts'
import { accessKeys, type DoorsRig, openDoorsRig, queueOptions } from './support/doors-rig.ts'
import { serveTasks, type TaskServer } from './support/task-client.ts'

let rig: DoorsRig
let tasks: TaskServer
before(async () => {
  rig = await openDoorsRig({
    auth: accessKeys({ ann: 'a' }),
    http: { waitMaxMs: 300 },
    queues: [
      queueOptions('orders', { partitions: 1 }),
      queueOptions('calls', { partitions: 1, onClientGone: 'cancel' }),
    ],
  })
  tasks = await serveTasks(rig.doors.grpc)
})
after(async () => {
  tasks.close()
  await rig.stop()
})

const payload = Buffer.from('1')
const request = { submit: { queue: 'orders', payload } }

test('SubmitAndWait answers with the result of its task', async () => {
  const ending = await endNext('orders', {
    state: 'succeeded',
    payload: Buffer.from('done'),
    contentType: 'text/plain',
  })
  const { task, result, replayed } = await tasks.tasks.submitAndWait(request)
  assert.equal(task!.id, await ending.id)
  assert.equal(task!.state, TaskState.SUCCEEDED)
  assert.equal(Buffer.from(result!.payload).toString(), 'done')
  assert.equal(replayed, false)
})

test("the call's own deadline is how long it waits, beyond the gateway's longest wait", async () => {
  const ending = await endNext('orders', { state: 'succeeded', payload, contentType: 'text/plain' }, 700)
  const { task } = await tasks.tasks.submitAndWait(request, { withinMs: 20_000 })
  assert.equal(task!.id, await ending.id)
})

test('without a deadline it waits as long as the gateway lets anybody', async () => {
  const beganMs = performance.now()
  const error = await refusal(tasks.tasks.submitAndWait(request, { withinMs: Number.POSITIVE_INFINITY }))
  assert.equal(error.code, status.DEADLINE_EXCEEDED)
  assert.ok(performance.now() - beganMs >= 290)
})

test('a task that does not end in time is named in the error, and goes on', async () => {
  const error = await refusal(tasks.tasks.submitAndWait(request, { withinMs: 2_000 }))
  assert.equal(error.code, status.DEADLINE_EXCEEDED)
  assert.deepEqual(error.metadata.get('forebay-error'), ['RESULT_NOT_READY'])
  const [id] = error.metadata.get('forebay-task')
  assert.equal((await tasks.tasks.get({ id: String(id) })).task!.state, TaskState.PENDING)
})

test('a task that ends badly is the error that it ended with', async () => {
  const detail = `no such thing ${'🙂'.repeat(2_000)}`
  const ending = await endNext('orders', { state: 'failed', fault: { code: 'WORKER_REFUSED', detail } })
  const error = await refusal(tasks.tasks.submitAndWait(request))
  assert.equal(error.code, status.FAILED_PRECONDITION)
  assert.ok(error.details.startsWith('no such thing 🙂'), error.details)
  assert.ok(Buffer.byteLength(error.details) <= 1_000, 'trailers have to fit')
  assert.deepEqual(error.metadata.get('forebay-error'), ['WORKER_REFUSED'])
  assert.deepEqual(error.metadata.get('forebay-state'), ['failed'])
  assert.deepEqual(error.metadata.get('forebay-task'), [await ending.id])
})

test('an idempotency key leads a second SubmitAndWait to the result of the first', async () => {
  const submit = { ...request.submit, idempotencyKey: 'twice' }
  const ending = await endNext('orders', {
    state: 'succeeded',
    payload: Buffer.from('once'),
    contentType: 'text/plain',
  })
  const first = await tasks.tasks.submitAndWait({ submit })
  await ending.id
  const second = await tasks.tasks.submitAndWait({ submit })
  assert.equal(second.replayed, true)
  assert.deepEqual(second.result, first.result)
})

test('what it does not take is refused: a wait of its own, and nothing at all', async () => {
  for (const wrong of [{ submit: { ...request.submit, wait: { seconds: 1n } } }, {}]) {
    const error = await refusal(tasks.tasks.submitAndWait(wrong))
    assert.equal(error.code, status.INVALID_ARGUMENT)
  }
})

test('a caller who goes away leaves its task alone, or cancels it where the queue says so', async () => {
  const left = await submittedAndLeft('orders')
  const called = await submittedAndLeft('calls')
  const { task } = await tasks.tasks.get({ id: called, wait: { seconds: 10n } })
  assert.equal(task!.state, TaskState.CANCELLED)
  assert.equal((await tasks.tasks.get({ id: left })).task!.state, TaskState.PENDING)
})

test('a stop lets those who wait go, with the id of their task', async () => {
  const waiting = refusal(tasks.tasks.submitAndWait(request))
  while ((await rig.telemetry.metrics.waiters.get()).values[0]!.value !== 1)
    await new Promise((resolve) => setTimeout(resolve, 2))
  rig.doors.grpc.stop()
  const error = await waiting
  assert.equal(error.code, status.DEADLINE_EXCEEDED)
  assert.equal(error.metadata.get('forebay-task').length, 1)
})

async function refusal(call: Promise<unknown>): Promise<ServiceError> {
  return call.then(
    () => assert.fail('it was answered'),
    (error: ServiceError) => error,
  )
}

/** Ends the next task of a queue, `afterMs` later; resolves once it listens. */
async function endNext(queue: string, end: Result['end'], afterMs = 0): Promise<{ readonly id: Promise<string> }> {
  const next = await nextTask(queue)
  return { id: ended() }

  async function ended(): Promise<string> {
    const id = await next.id
    await new Promise((resolve) => setTimeout(resolve, afterMs))
    await rig.end(id, end, { owner: 'ann', queue })
    return id
  }
}

/** Resolves once it listens. */
async function nextTask(queue: string): Promise<{ readonly id: Promise<string> }> {
  const listener = await rig.broker.listen({ topic: `forebay.tasks.${queue}`, partition: 0, from: 'latest' })
  return { id: heard() }

  async function heard(): Promise<string> {
    try {
      for await (const [record] of listener) {
        return Buffer.from(record!.headers.find(([name]) => name === 'ce_id')![1]).toString()
      }
    } finally {
      await listener.close()
    }
    throw new Error('the topic was closed')
  }
}

/** The id of a task whose caller has reset its call while it waited. */
async function submittedAndLeft(queue: string): Promise<string> {
  const next = await nextTask(queue)
  const gone = new AbortController()
  void tasks.tasks.submitAndWait({ submit: { queue, payload } }, { signal: gone.signal }).catch(() => {})
  const id = await next.id
  gone.abort()
  return id
}
