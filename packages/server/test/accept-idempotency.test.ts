import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fingerprint, readIdempotencyKey } from '../src/accept/idempotency.ts'
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
  const wrapStore = (store: Store) => ({ ...pass(store), confirm: () => Promise.reject(new Error('killed')) })
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

function post(queue: string, body: string, key: string, headers: Record<string, string> = {}, url = rig.url) {
  return fetch(`${url}/v1/queues/${queue}/tasks`, {
    method: 'POST',
    body,
    headers: { authorization: 'Bearer anns', 'content-type': 'text/plain', 'idempotency-key': key, ...headers },
  })
}

function pass(store: Store): Store {
  return {
    capabilities: store.capabilities,
    parking: store.parking,
    open: () => store.open(),
    positions: (topic) => store.positions(topic),
    apply: (batch) => store.apply(batch),
    get: (taskId) => store.get(taskId),
    reserve: (claim) => store.reserve(claim),
    confirm: (claim) => store.confirm(claim),
    release: (claim) => store.release(claim),
    doubt: (claim) => store.doubt(claim),
    close: () => store.close(),
  }
}
