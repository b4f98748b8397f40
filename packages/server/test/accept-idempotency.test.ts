import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { systemClock } from '@forebay/broker'
import { fingerprint, readIdempotencyKey } from '../src/accept/idempotency.ts'
import { embeddedStore } from '../src/store/embedded/embedded.ts'
import type { Store } from '../src/store/store.ts'
import { accessKeys, type DoorsRig, openDoorsRig, queueOptions } from './support/doors-rig.ts'

const auth = accessKeys({ ann: 'anns', bob: 'bobs' })

let rig: DoorsRig
before(async () => {
  rig = await openDoorsRig({ auth, queues: [queueOptions('orders'), queueOptions('photos')] })
})
after(() => rig.stop())

test('the same request under the same key is one task, and says so', async () => {
  const kept = await rig.kept('orders')
  const first = await post('orders', 'one', 'key-1')
  const second = await post('orders', 'one', 'key-1')
  assert.equal(first.status, 202)
  assert.equal(second.status, 202)
  assert.equal(first.headers.get('idempotent-replayed'), null)
  assert.equal(second.headers.get('idempotent-replayed'), 'true')
  assert.deepEqual(await second.json(), await first.json())
  assert.equal(await rig.kept('orders'), kept + 1)
})

test('the quoted form of the draft is the same key', async () => {
  const bare = await post('orders', 'two', 'key-2')
  const quoted = await post('orders', 'two', '"key-2"')
  assert.equal(quoted.headers.get('idempotent-replayed'), 'true')
  assert.equal(quoted.headers.get('location'), bare.headers.get('location'))
})

test('fifty at once make one task', async () => {
  const kept = await rig.kept('orders')
  const all = await Promise.all(Array.from({ length: 50 }, () => post('orders', 'three', 'key-3')))
  const byStatus = Map.groupBy(all, (response) => response.status)
  assert.deepEqual(
    [...byStatus.keys()].filter((status) => status !== 202 && status !== 409),
    [],
  )
  const places = new Set(byStatus.get(202)!.map((response) => response.headers.get('location')))
  assert.equal(places.size, 1)
  for (const response of byStatus.get(409) ?? []) {
    assert.equal(response.headers.get('retry-after'), '1')
    assert.equal(((await response.json()) as { code: string }).code, 'IDEMPOTENCY_IN_FLIGHT')
  }
  assert.equal(await rig.kept('orders'), kept + 1)
})

test('the same key for anything else is refused', async () => {
  await post('orders', 'four', 'key-4')
  for (const response of [
    await post('orders', 'other body', 'key-4'),
    await post('orders', 'four', 'key-4', { 'content-type': 'application/json' }),
    await post('orders', 'four', 'key-4', { 'forebay-key': 'other' }),
  ]) {
    assert.equal(response.status, 422)
    assert.equal(((await response.json()) as { code: string }).code, 'IDEMPOTENCY_MISMATCH')
  }
})

test('keys belong to their principal and their queue', async () => {
  const places = new Set<string | null>()
  places.add((await post('orders', 'five', 'key-5')).headers.get('location'))
  places.add((await post('photos', 'five', 'key-5')).headers.get('location'))
  places.add((await post('orders', 'five', 'key-5', { authorization: 'Bearer bobs' })).headers.get('location'))
  assert.equal(places.size, 3)
})

test('a request that was refused for what it is leaves its key free', async () => {
  const refused = await post('orders', 'six', 'key-6', { 'forebay-deadline': 'never' })
  assert.equal(refused.status, 400)
  const kept = await post('orders', 'six', 'key-6')
  assert.equal(kept.status, 202)
  assert.equal(kept.headers.get('idempotent-replayed'), null)
})

test('a claim that nobody finished is taken up with the id that it had', async () => {
  // A process that died between claim and append: the store sees another run of itself.
  const storeDir = await mkdtemp(join(tmpdir(), 'forebay-store-'))
  const wrapStore = (store: Store) => withFaults(store, { confirm: () => Promise.reject(new Error('killed')) })
  const one = await openDoorsRig({ auth, storeDir, wrapStore })
  const before = await post('orders', 'seven', 'key-7', {}, one.url)
  assert.equal(before.status, 202)
  await one.closeStore()
  const two = await openDoorsRig({ auth, storeDir, shared: one })
  const resumed = await post('orders', 'seven', 'key-7', {}, two.url)
  assert.equal(resumed.status, 202)
  assert.equal(resumed.headers.get('location'), before.headers.get('location'))
  assert.equal(await one.kept('orders'), 2, 'appended again, under the same id')
  const third = await post('orders', 'seven', 'key-7', {}, two.url)
  assert.equal(third.headers.get('idempotent-replayed'), 'true')
  assert.equal(await one.kept('orders'), 2)
  await two.stop()
  await one.stop()
  await rm(storeDir, { recursive: true })
})

test('two gateways on one store make one task of one key, whoever of them dies in between', async (t) => {
  // The first one claims the key, appends, and dies before anybody hears of it: its answer is lost, so is its confirm.
  const died = Promise.withResolvers<never>()
  const wrapStore = (store: Store) => withFaults(store, { confirm: () => died.promise, renew: async () => {} })
  let aheadMs = 0
  const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + aheadMs }
  const storeDir = await mkdtemp(join(tmpdir(), 'forebay-store-'))
  const store = embeddedStore({ dir: storeDir, retentionMs: 86_400_000, clock })
  await store.open()
  const one = await openDoorsRig({ auth, sharedStore: store, wrapStore })
  const two = await openDoorsRig({ auth, sharedStore: store, shared: one })
  let lost: Promise<unknown> | null = null
  t.after(async () => {
    died.reject(new Error('killed'))
    await two.stop()
    await one.stop()
    await lost
    await store.close()
    await rm(storeDir, { recursive: true })
  })
  lost = post('orders', 'eight', 'key-8', {}, one.url).catch(() => null)
  while ((await one.kept('orders')) === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  const early = await post('orders', 'eight', 'key-8', {}, two.url)
  assert.equal(early.status, 409, 'as far as the store can tell the first one is still at it')
  assert.equal((await post('orders', 'other', 'key-8', {}, two.url)).status, 422)
  aheadMs = 60_000
  const all = await Promise.all(Array.from({ length: 20 }, () => post('orders', 'eight', 'key-8', {}, two.url)))
  const answers = new Set(all.map((response) => response.status))
  assert.ok(answers.has(202) && [...answers].every((status) => status === 202 || status === 409), [...answers].join())
  const places = new Set(all.flatMap((response) => response.headers.get('location') ?? []))
  assert.equal(places.size, 1)
  const [first] = await idsIn(one)
  assert.deepEqual([...places], [`/v1/tasks/${first}`], 'it is the task that the first one had appended')
  assert.equal(new Set(await idsIn(one)).size, 1)
})

test('an answer says until when its key holds, by the window of its queue; then the key is free', async (t) => {
  let aheadMs = 0
  const clock = {
    ...systemClock,
    wallMs: () => systemClock.wallMs() + aheadMs,
    monotonicMs: () => systemClock.monotonicMs() + aheadMs,
  }
  const queues = [
    queueOptions('orders', { idempotency: { required: false, windowMs: 60_000 } }),
    queueOptions('photos', { idempotency: { required: false, windowMs: 7_200_000 } }),
  ]
  const storeDir = await mkdtemp(join(tmpdir(), 'forebay-store-'))
  const store = embeddedStore({ dir: storeDir, retentionMs: 86_400_000, clock })
  await store.open()
  const rig = await openDoorsRig({ auth, queues, clock, sharedStore: store })
  t.after(async () => {
    await rig.stop()
    await store.close()
    await rm(storeDir, { recursive: true })
  })
  for (const { name, idempotency } of queues) {
    for (const replayed of [null, 'true']) {
      const response = await post(name, 'nine', 'key-9', {}, rig.url)
      assert.equal(response.headers.get('idempotent-replayed'), replayed)
      const { acceptedAt } = (await response.json()) as { acceptedAt: string }
      const until = response.headers.get('forebay-idempotency-expires')!
      assert.equal(new Date(until).toUTCString(), until)
      const offMs = Date.parse(acceptedAt) + idempotency.windowMs - Date.parse(until)
      assert.ok(offMs >= 0 && offMs < 1_000, `${offMs} ms off`)
    }
  }
  const keyless = await fetch(`${rig.url}/v1/queues/orders/tasks`, {
    method: 'POST',
    headers: { authorization: 'Bearer anns' },
  })
  assert.equal(keyless.headers.get('forebay-idempotency-expires'), null)
  aheadMs = 60_000
  const next = await post('orders', 'another', 'key-9', {}, rig.url)
  assert.deepEqual([next.status, next.headers.get('idempotent-replayed')], [202, null])
  assert.equal((await post('photos', 'another', 'key-9', {}, rig.url)).status, 422)
})

test('a queue may take no task without a key', async (t) => {
  const queues = [queueOptions('orders', { idempotency: { required: true, windowMs: 60_000 } })]
  const rig = await openDoorsRig({ auth, queues })
  t.after(() => rig.stop())
  const headers = { authorization: 'Bearer anns' }
  const refused = await fetch(`${rig.url}/v1/queues/orders/tasks`, { method: 'POST', headers })
  assert.equal(refused.status, 400)
  assert.equal(((await refused.json()) as { code: string }).code, 'IDEMPOTENCY_KEY_MISSING')
  assert.equal(await rig.kept('orders'), 0)
  assert.equal((await post('orders', 'ten', 'key-10', {}, rig.url)).status, 202)
})

test('the key may be bare or quoted, visible ASCII of 1 to 255 characters', () => {
  assert.equal(readIdempotencyKey(undefined), null)
  for (const [given, key] of [
    ['abc', 'abc'],
    ['"abc"', 'abc'],
    ['"a\\"b\\\\"', 'a"b\\'],
    ['a"b', 'a"b'],
    ['~'.repeat(255), '~'.repeat(255)],
  ] as const) {
    assert.equal(readIdempotencyKey(given), key)
  }
  for (const given of ['', '""', '"', '"abc', '"a"b"', 'a b', '"a b"', 'é', 'a\tb', '~'.repeat(256), '"\\n"']) {
    assert.throws(() => readIdempotencyKey(given), { code: 'BAD_HEADER' }, given)
  }
})

test('fingerprints tell every part of a request from every other', () => {
  const plain = { timing: { delayMs: 0, notBeforeMs: null }, priority: 4 }
  const asked = {
    method: 'POST',
    queue: 'q',
    key: null,
    contentType: 'text/plain',
    payload: Buffer.from('x'),
    ...plain,
  }
  const all = [
    asked,
    { ...asked, method: 'PUT' },
    { ...asked, queue: 'r' },
    { ...asked, key: '' },
    { ...asked, key: 'x' },
    { ...asked, contentType: 'text/plainx', payload: Buffer.from('') },
    { ...asked, payload: Buffer.from('') },
    { ...asked, timing: { delayMs: 5_000, notBeforeMs: null } },
    { ...asked, timing: { delayMs: 0, notBeforeMs: 5_000 } },
    { ...asked, priority: 9 },
  ]
  assert.equal(new Set(all.map(fingerprint)).size, all.length)
  assert.equal(fingerprint({ ...asked }), fingerprint(asked))
})

/** Of all tasks in the log, in order. */
async function idsIn(one: DoorsRig): Promise<string[]> {
  const ids: string[] = []
  for (const { partition, start, end } of await one.broker.inspect({ topics: ['forebay.tasks.orders'] })) {
    if (start === end) continue
    const listener = await one.broker.listen({ topic: 'forebay.tasks.orders', partition, from: 'earliest' })
    for await (const records of listener) {
      for (const { headers } of records)
        ids.push(Buffer.from(headers.find(([name]) => name === 'ce_id')![1]).toString())
      if (records.at(-1)!.offset + 1 >= end) break
    }
    await listener.close()
  }
  return ids
}

function post(queue: string, body: string, key: string, headers: Record<string, string> = {}, url = rig.url) {
  return fetch(`${url}/v1/queues/${queue}/tasks`, {
    method: 'POST',
    body,
    headers: { authorization: 'Bearer anns', 'content-type': 'text/plain', 'idempotency-key': key, ...headers },
  })
}

/** The real store, but for these methods. */
function withFaults(store: Store, faults: Partial<Store>): Store {
  return new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(faults, name) ?? Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
