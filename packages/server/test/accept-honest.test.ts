import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Broker, PublishError } from '@forebay/broker'
import { TASK_OVERHEAD_BYTES } from '../src/accept/admission.ts'
import { type DoorsRig, openDoorsRig } from './support/doors-rig.ts'

/** P9: a response says what is true. The log is real; only its answer to `publish` is changed on the way back. */

test('a task that the log refused is not accepted, and its idempotency key is free again', async () => {
  let failing = true
  const rig = await openDoorsRig({ wrapBroker: (broker) => failingPublish(broker, () => (failing ? 'refused' : null)) })
  const refused = await post(rig, 'wait=5')
  assert.equal(refused.status, 503)
  assert.equal(refused.headers.get('retry-after'), '1')
  assert.equal(((await refused.json()) as Problem).code, 'NOT_ACCEPTED')
  assert.equal(await waitersOf(rig), 0, 'nobody waits for a task that is not there')
  assert.equal(rig.doors.admission.bytes, 0)
  failing = false
  const kept = await post(rig)
  assert.equal(kept.status, 202)
  assert.equal(kept.headers.get('idempotent-replayed'), null)
  assert.equal(await rig.kept('orders'), 1)
  await rig.stop()
})

test('when nobody knows, the answer says so and names the task; the same key leads back to it', async () => {
  let failing = true
  const rig = await openDoorsRig({
    wrapBroker: (broker) => failingPublish(broker, () => (failing ? 'unknown' : null)),
  })
  const unknown = await post(rig, 'wait=5')
  assert.equal(unknown.status, 503)
  const problem = (await unknown.json()) as Problem
  assert.equal(problem.code, 'OUTCOME_UNKNOWN')
  assert.equal(await waitersOf(rig), 0)
  const standing = await fetch(`${rig.url}/v1/tasks/${problem.task}`)
  assert.equal(((await standing.json()) as { state: string }).state, 'pending')
  failing = false
  const again = await post(rig)
  assert.equal(again.status, 202)
  assert.equal(again.headers.get('location'), `/v1/tasks/${problem.task}`)
  await rig.stop()
})

test('more bodies than may be on their way are refused at once, and nothing of them is kept', async () => {
  let release = () => {}
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  const wrapBroker = (broker: Broker): Broker => ({
    ...bound(broker),
    publish: (records) => released.then(() => broker.publish(records)),
  })
  const size = 100_000
  const rig = await openDoorsRig({ wrapBroker, http: { acceptingBytesMax: 3 * (size + TASK_OVERHEAD_BYTES) } })
  const url = `${rig.url}/v1/queues/orders/tasks`
  const body = Buffer.alloc(size)
  const first = Array.from({ length: 3 }, () => fetch(url, { method: 'POST', body }))
  while (rig.doors.admission.bytes < 3 * (size + TASK_OVERHEAD_BYTES))
    await new Promise((resolve) => setTimeout(resolve, 2))
  const fourth = await fetch(url, { method: 'POST', body })
  assert.equal(fourth.status, 429)
  assert.equal(fourth.headers.get('retry-after'), '1')
  assert.equal(((await fourth.json()) as Problem).code, 'OVERLOADED')
  release()
  for (const response of await Promise.all(first)) assert.equal(response.status, 202)
  assert.equal(rig.doors.admission.bytes, 0)
  assert.equal((await fetch(url, { method: 'POST', body })).status, 202)
  assert.equal(await rig.kept('orders'), 4)
  await rig.stop()
})

test('a store that cannot be asked for a key keeps nothing', async () => {
  const rig = await openDoorsRig()
  await rig.closeStore()
  const response = await post(rig)
  assert.equal(response.status, 503)
  assert.equal(((await response.json()) as Problem).code, 'NOT_ACCEPTED')
  assert.equal(await rig.kept('orders'), 0)
  await rig.stop()
})

interface Problem {
  readonly code: string
  readonly task?: string
}

function post(rig: DoorsRig, prefer = 'wait=0'): Promise<Response> {
  const headers = { 'idempotency-key': 'one', 'content-type': 'text/plain', prefer }
  return fetch(`${rig.url}/v1/queues/orders/tasks`, { method: 'POST', body: 'x', headers })
}

function failingPublish(broker: Broker, how: () => 'refused' | 'unknown' | null): Broker {
  return {
    ...bound(broker),
    async publish(records) {
      const outcome = how()
      if (outcome === null) return broker.publish(records)
      const failed = records.map((_, index) => ({ index, outcome, cause: new Error('the log is away') }))
      throw new PublishError('the log is away', failed)
    },
  }
}

function bound(broker: Broker): Broker {
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

async function waitersOf({ telemetry }: DoorsRig): Promise<number> {
  return (await telemetry.metrics.waiters.get()).values[0]?.value ?? 0
}
