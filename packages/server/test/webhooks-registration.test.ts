import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Broker, PublishError, systemRandom } from '@forebay/broker'
import type { WebhookOptions } from '../src/options.ts'
import type { Callbacks } from '../src/store/callbacks.ts'
import type { Store } from '../src/store/store.ts'
import { newWebhookSecret } from '../src/webhooks/signature.ts'
import { type DoorsRig, openDoorsRig } from './support/doors-rig.ts'

/** A callback is kept as long as its task may be: the log and the store are real, only what they answer is changed. */

const WEBHOOKS: WebhookOptions = {
  secrets: [newWebhookSecret(systemRandom)],
  principals: new Map(),
  ports: new Set([443]),
  allow: [],
  ca: null,
  dns: [],
  timeoutMs: 1_000,
  waitsMs: [],
  concurrency: 4,
  perHost: 4,
}

test('the callback is in the store before its task is in the log', async () => {
  const before: number[] = []
  const rig: DoorsRig = await openDoorsRig({
    webhooks: WEBHOOKS,
    wrapBroker: (broker) =>
      withPublish(broker, async (records) => {
        before.push((await rig.store.callbacks!.list({})).length)
        return broker.publish(records)
      }),
  })
  const response = await submit(rig)
  assert.equal(response.status, 202)
  const { id } = (await response.json()) as { id: string }
  const [row] = await rig.store.callbacks!.list({})
  assert.deepEqual([row!.taskId, row!.url, row!.state], [id, 'https://hooks.example.com/x', 'waiting'])
  assert.ok(row!.keepUntilMs > Date.now() + 86_400_000)
  assert.deepEqual(before, [1])
  await rig.stop()
})

test('when the log refused the task its callback is forgotten; when nobody knows it is kept, and the same key leads back to it', async () => {
  let outcome: 'refused' | 'unknown' | null = 'refused'
  const rig: DoorsRig = await openDoorsRig({
    webhooks: WEBHOOKS,
    wrapBroker: (broker) =>
      withPublish(broker, async (records) => {
        if (outcome === null) return broker.publish(records)
        const how = outcome
        if (how === 'unknown') await broker.publish(records)
        const cause = new Error('the log is away')
        throw new PublishError(
          cause.message,
          records.map((_, index) => ({ index, outcome: how, cause })),
        )
      }),
  })
  const rows = () => rig.store.callbacks!.list({})
  assert.equal((await submit(rig, 'k')).status, 503)
  assert.deepEqual(await rows(), [])
  outcome = 'unknown'
  const unknown = await submit(rig, 'k')
  const { code, task } = (await unknown.json()) as { code: string; task: string }
  assert.equal(code, 'OUTCOME_UNKNOWN')
  assert.deepEqual(
    (await rows()).map(({ taskId }) => taskId),
    [task],
  )
  outcome = null
  const again = await submit(rig, 'k')
  assert.deepEqual([again.status, ((await again.json()) as { id: string }).id], [202, task])
  assert.equal((await rows()).length, 1)
  await rig.stop()
})

test('a store that cannot write the callback down keeps nothing of the task', async () => {
  let failing = true
  const rig = await openDoorsRig({ webhooks: WEBHOOKS, wrapStore: (store) => failingRegister(store, () => failing) })
  const refused = await submit(rig, 'k')
  assert.deepEqual([refused.status, ((await refused.json()) as { code: string }).code], [503, 'STORE_UNAVAILABLE'])
  assert.equal(await rig.kept('orders'), 0)
  failing = false
  assert.equal((await submit(rig, 'k')).status, 202, 'the key was left free')
  await rig.stop()
})

test('a store that keeps no callbacks, and a server without webhooks, say so', async () => {
  for (const options of [{ webhooks: WEBHOOKS, wrapStore: withoutCallbacks }, {}]) {
    const rig = await openDoorsRig(options)
    const refused = await submit(rig)
    assert.deepEqual([refused.status, ((await refused.json()) as { code: string }).code], [501, 'CALLBACK_UNAVAILABLE'])
    assert.equal(await rig.kept('orders'), 0)
    await rig.stop()
  }
})

test('ids are new each time', async () => {
  const rig = await openDoorsRig({ webhooks: WEBHOOKS })
  for (let index = 0; index < 50; index++) assert.equal((await submit(rig)).status, 202)
  const ids = (await rig.store.callbacks!.list({})).map(({ id }) => id)
  for (const id of ids) assert.match(id, /^cb_[0-9a-hjkmnp-tv-z]{26}$/)
  assert.equal(new Set(ids).size, 50)
  await rig.stop()
})

function submit(rig: DoorsRig, key?: string): Promise<Response> {
  const headers = { 'forebay-callback': 'https://hooks.example.com/x', ...(key ? { 'idempotency-key': key } : {}) }
  return fetch(`${rig.url}/v1/queues/orders/tasks`, { method: 'POST', body: '{}', headers })
}

/** The object with other members in their place. */
function withMembers<T extends object>(object: T, members: Partial<T>): T {
  return new Proxy(object, {
    get(target, name) {
      if (Object.hasOwn(members, name)) return members[name as keyof T]
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

function withPublish(broker: Broker, publish: Broker['publish']): Broker {
  return withMembers(broker, { publish })
}

function failingRegister(store: Store, failing: () => boolean): Store {
  const callbacks = store.callbacks!
  const register: Callbacks['register'] = async (callback) => {
    if (failing()) throw new Error('the disk is full')
    return callbacks.register(callback)
  }
  return withMembers(store, { callbacks: withMembers(callbacks, { register }) })
}

function withoutCallbacks(store: Store): Store {
  return withMembers(store, { callbacks: null })
}
