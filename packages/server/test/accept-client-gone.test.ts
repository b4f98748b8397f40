import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { accessKeys, type DoorsRig, type DoorsRigOptions, openDoorsRig, queueOptions } from './support/doors-rig.ts'

const QUEUES = [
  queueOptions('orders', { partitions: 1 }),
  queueOptions('answers', { partitions: 1, onClientGone: 'cancel' }),
]

test('the task of a caller who stops waiting is cancelled where the queue says so, and goes on elsewhere', async (t) => {
  const rig = await open(t)
  const cancelled = await leave(rig, 'answers')
  assert.equal(await stateOf(rig, cancelled, 'cancelled'), 'cancelled')
  const goesOn = await leave(rig, 'orders')
  await waiting(rig, 0)
  assert.equal(await stateOf(rig, goesOn, 'pending'), 'pending')
})

test('a caller with the key of an earlier request takes nothing with it; nor does a stop', async (t) => {
  const rig = await open(t)
  const headers = { 'idempotency-key': 'one' }
  const first = await fetch(`${rig.url}/v1/queues/answers/tasks`, { method: 'POST', body: 'x', headers })
  const { id } = (await first.json()) as { id: string }
  await leave(rig, 'answers', headers)
  await waiting(rig, 0)
  const waited = post(rig, 'answers', { prefer: 'wait=20' })
  await waiting(rig, 1)
  assert.equal(await stateOf(rig, id, 'pending'), 'pending')
  await rig.doors.http.stop(5_000)
  const answer = await waited
  assert.equal(answer.status, 202)
  const { id: other } = (await answer.json()) as { id: string }
  for (const taskId of [id, other]) assert.equal(await rig.store.get(taskId), null)
})

test('a result that comes before the caller goes is the result', async (t) => {
  const rig = await open(t)
  const response = post(rig, 'answers', { prefer: 'wait=20', 'idempotency-key': 'two' })
  await waiting(rig, 1)
  // It waits from before its append on: until that is over the key is in flight.
  let again = await post(rig, 'answers', { 'idempotency-key': 'two' })
  while (again.status === 409) again = await post(rig, 'answers', { 'idempotency-key': 'two' })
  const { id } = (await again.json()) as { id: string }
  await rig.end(
    id,
    { state: 'succeeded', payload: Buffer.from('done'), contentType: 'text/plain' },
    { queue: 'answers' },
  )
  assert.equal(await (await response).text(), 'done')
  assert.equal(await stateOf(rig, id, 'succeeded'), 'succeeded')
})

test('one principal cannot take all places of those who wait; beyond its share the answer comes at once', async (t) => {
  const auth = accessKeys({ anna: 'key-a', bert: 'key-b' })
  const rig = await open(t, { auth, http: { waitersPerPrincipalMax: 1 } })
  const anna = { authorization: 'Bearer key-a' }
  const bert = { authorization: 'Bearer key-b' }
  const { id } = (await (await post(rig, 'orders', anna)).json()) as { id: string }
  const gone = new AbortController()
  const first = post(rig, 'orders', { ...anna, prefer: 'wait=20' }, gone.signal).catch(() => null)
  await waiting(rig, 1)
  assert.equal((await post(rig, 'orders', { ...anna, prefer: 'wait=20' })).status, 202)
  const read = await fetch(`${rig.url}/v1/tasks/${id}`, { headers: { ...anna, prefer: 'wait=20' } })
  assert.equal(((await read.json()) as { state: string }).state, 'pending')
  const others = post(rig, 'orders', { ...bert, prefer: 'wait=20' }, gone.signal).catch(() => null)
  await waiting(rig, 2)
  gone.abort()
  assert.deepEqual(await Promise.all([first, others]), [null, null])
  await waiting(rig, 0)
  // Its place is free again, for either kind of wait, also after one that was refused.
  for (let n = 0; n < 3; n++) {
    const queue = await post(rig, 'nothing', { ...anna, prefer: 'wait=20' })
    assert.equal(queue.status, 404)
    const reading = fetch(`${rig.url}/v1/tasks/${id}`, { headers: { ...anna, prefer: 'wait=0.05' } })
    assert.equal((await reading).headers.get('preference-applied'), 'wait=0.05')
  }
  const last = fetch(`${rig.url}/v1/tasks/${id}/result`, { headers: { ...anna, prefer: 'wait=20' } })
  await waiting(rig, 1)
  await rig.end(id, { state: 'succeeded', payload: Buffer.from('late'), contentType: 'text/plain' }, { owner: 'anna' })
  assert.equal(await (await last).text(), 'late')
})

async function open(t: TestContext, options: DoorsRigOptions = {}): Promise<DoorsRig> {
  const rig = await openDoorsRig({ queues: QUEUES, ...options })
  t.after(() => rig.stop())
  return rig
}

function post(
  rig: DoorsRig,
  queue: string,
  headers: Record<string, string>,
  signal: AbortSignal | null = null,
): Promise<Response> {
  return fetch(`${rig.url}/v1/queues/${queue}/tasks`, { method: 'POST', body: 'x', headers, signal })
}

/** Hands a task in, waits for it, and goes away; returns its id, which it is told by the log. */
async function leave(rig: DoorsRig, queue: string, headers: Record<string, string> = {}): Promise<string> {
  const gone = new AbortController()
  const asked = post(rig, queue, { prefer: 'wait=20', ...headers }, gone.signal)
  await waiting(rig, 1)
  const id = await lastTask(rig, queue)
  gone.abort()
  await assert.rejects(asked)
  return id
}

async function lastTask(rig: DoorsRig, queue: string): Promise<string> {
  const kept = await rig.kept(queue)
  const listener = await rig.broker.listen({ topic: `forebay.tasks.${queue}`, partition: 0, from: 'earliest' })
  try {
    for await (const records of listener) {
      const last = records.at(-1)!
      if (last.offset < kept - 1) continue
      const [, id] = last.headers.find(([name]) => name === 'ce_id')!
      return Buffer.from(id).toString()
    }
  } finally {
    await listener.close()
  }
  throw new Error('the log ended')
}

async function stateOf(rig: DoorsRig, id: string, wanted: string): Promise<string> {
  for (let tries = 0; ; tries++) {
    const response = await fetch(`${rig.url}/v1/tasks/${id}`)
    const { state } = (await response.json()) as { state: string }
    if (state === wanted || tries > 500) return state
    await sleep(10)
  }
}

async function waiting(rig: DoorsRig, count: number): Promise<void> {
  while (((await rig.telemetry.metrics.waiters.get()).values[0]?.value ?? 0) !== count) await sleep(5)
}
