import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ForebayError } from '@forebay/protocol'
import { createClient } from '@redis/client'
import { startRedis } from '../../../scripts/rig/redis.ts'
import { answer, apply, note, succeeded, TOPIC } from '../src/store/contract/contract-place.ts'
import type { RedisStoreOptions } from '../src/store/redis/options.ts'
import { redisStore } from '../src/store/redis/redis.ts'
import type { Claim, Store } from '../src/store/store.ts'

const server = await startRedis()
after(async () => {
  await server[Symbol.asyncDispose]()
})

test('kill -9 of the server at any moment: position and results agree, a reader behind it is told, and it goes on', async () => {
  const store = await open()
  let from: number | null = null
  for (let round = 0; round < 3; round++) {
    const killed = sleep(50 + Math.random() * 150).then(() => server.kill())
    await assert.rejects(
      async () => {
        for (;;) from = await applyNext(store, from)
      },
      { code: 'STORE_UNAVAILABLE' },
    )
    await killed
    await assert.rejects(store.get('t0'), { code: 'STORE_UNAVAILABLE' })
    await server.restart()
    const position = (await eventually(() => store.positions(TOPIC))).get(0) ?? null
    const reached = position ?? 0
    for (let offset = 0; offset < reached; offset++) assert.equal(await answer(store, `t${offset}`), `${offset}`)
    assert.equal(await store.get(`t${reached}`), null)
    const ahead = reached + 7
    const batch = { topic: TOPIC, partition: 0, from: ahead, next: ahead, entries: [] }
    assert.deepEqual(await store.apply(batch), { kind: 'behind', position })
    from = position
  }
  assert.ok((from ?? 0) > 3)
  await store.close()
})

test('a server that falls silent: calls are refused within seconds, and it goes on by itself', async () => {
  const store = await open()
  server.pause()
  const begun = performance.now()
  const outcomes = await Promise.allSettled([
    apply(store, 0, succeeded('t', 'x')),
    store.get('t'),
    store.reserve(claim('silent')),
  ])
  const tookMs = performance.now() - begun
  server.resume()
  for (const outcome of outcomes)
    assert.ok(outcome.status === 'rejected' && outcome.reason.code === 'STORE_UNAVAILABLE')
  assert.ok(tookMs < 10_000, `${tookMs} ms`)
  await eventually(() => store.get('t'))
  await store.close()
})

test('opening waits for a server that is not there yet, and gives up with its name', async () => {
  await server.stop()
  await assert.rejects(open({ openTimeoutMs: 300 }), (error: ForebayError) => {
    assert.equal(error.code, 'STORE_UNAVAILABLE')
    assert.match(error.message, new RegExp(`127\\.0\\.0\\.1:${server.port} .*ECONNREFUSED`))
    return true
  })
  const opening = open()
  await sleep(300)
  await server.restart()
  await (await opening).close()
})

test('a wrong password and a number that there is not are said at once', async () => {
  const wrong = new URL(server.url)
  wrong.password = 'another'
  await assert.rejects(open({ url: wrong.href }), (error: ForebayError) => {
    assert.equal(error.code, 'CONFIG_INVALID')
    assert.ok(!error.message.includes('another'))
    return true
  })
  await assert.rejects(open({ url: server.url.replace(/0$/, '99') }), { code: 'CONFIG_INVALID' })
  await assert.rejects(open({ url: 'no address' }), { code: 'CONFIG_INVALID' })
})

test('a server that would evict answers when its memory is full is refused', async () => {
  await using evicting = await startRedis({ settings: { 'maxmemory-policy': 'allkeys-lru' } })
  await assert.rejects(open({ url: evicting.url }), { code: 'CONFIG_INVALID', message: /allkeys-lru.*noeviction/ })
})

test('a replica is refused', async () => {
  await using replica = await startRedis({ settings: { replicaof: `127.0.0.1 ${server.port}` } })
  await assert.rejects(open({ url: replica.url }), { code: 'CONFIG_INVALID', message: /replica/ })
})

test('a memory that is full refuses results and loses none that it has', async () => {
  await using full = await startRedis()
  const store = await open({ url: full.url })
  await apply(store, 0, succeeded('t', 'kept'))
  const admin = await createClient({ url: full.url }).connect()
  await admin.configSet('maxmemory', '1mb')
  await assert.rejects(apply(store, 1, succeeded('u', 'refused')), { code: 'STORE_UNAVAILABLE', message: /OOM/ })
  assert.equal(await answer(store, 't'), 'kept')
  await admin.configSet('maxmemory', '0')
  assert.equal(await apply(store, 1, succeeded('u', 'taken in')), 0)
  assert.equal(await answer(store, 'u'), 'taken in')
  await admin.close()
  await store.close()
})

test('a claim of a gateway of the version before, which is not renewed, counts as long as it did there', async () => {
  let nowMs = Date.now()
  const prefix = `${randomUUID()}:`
  const store = await open({ prefix, serverNowMs: () => nowMs })
  const client = await createClient({ url: server.url }).connect()
  const about = { fingerprint: 'same', kept: '0', resumed: '0', claimed: `${nowMs}`, expires: `${nowMs + 600_000}` }
  await client.hSet(`${prefix}claim:4:6:anna:orders:old`, { task: 'old-task', ...about })
  nowMs += 44_999
  assert.deepEqual(await store.reserve(claim('old')), { kind: 'in-flight' })
  nowMs += 1
  assert.deepEqual(await store.reserve(claim('old')), { kind: 'resume', taskId: 'old-task' })
  nowMs += 4_999
  assert.deepEqual(await store.reserve(claim('old')), { kind: 'in-flight' })
  nowMs += 1
  assert.deepEqual(await store.reserve(claim('old')), { kind: 'resume', taskId: 'old-task' })
  await client.close()
  await store.close()
})

test('results, notes and keys expire by themselves, each after its own time', async () => {
  const store = await open({ retentionMs: 300, notesRetentionMs: 1_500 })
  await store.reserve({ ...claim('short'), windowMs: 300 })
  await store.confirm(claim('short'))
  assert.equal((await store.reserve(claim('short'))).kind, 'kept')
  await apply(store, 0, succeeded('t', 'x'), note('open', 'running', 1))
  assert.equal(await answer(store, 't'), 'x')
  await gone(() => store.get('t'))
  assert.notEqual(await store.get('open'), null)
  assert.equal((await store.reserve(claim('short'))).kind, 'claimed')
  await gone(() => store.get('open'))
  assert.equal((await store.positions(TOPIC)).get(0), 2, 'the position stays')
  await store.close()
})

test('a rebuild leaves no row of the former life in memory', async () => {
  const prefix = `${randomUUID()}:`
  const store = await open({ prefix })
  const results = Array.from({ length: 2_500 }, (_, n) => succeeded(`t${n}`, 'x'))
  await apply(store, 0, ...results)
  await store.rebuild(TOPIC)
  assert.equal(await store.get('t0'), null)
  const admin = await createClient({ url: server.url }).connect()
  assert.deepEqual(await admin.keys(`${prefix}*`), [`${prefix}life`])
  await admin.close()
  await store.close()
})

test('recorders that offer the same log apply each part of it once', async () => {
  const prefix = `${randomUUID()}:`
  const stores = await Promise.all(Array.from({ length: 3 }, () => open({ prefix })))
  const read = async (store: Store) => {
    let from: number | null = null
    while ((from ?? 0) < 200) from = await applyNext(store, from)
  }
  await Promise.all(stores.map(read))
  assert.equal((await stores[0]!.positions(TOPIC)).get(0), 200)
  for (let offset = 0; offset < 200; offset++) assert.equal(await answer(stores[1]!, `t${offset}`), `${offset}`)
  await Promise.all(stores.map((store) => store.close()))
})

async function open(options: Partial<RedisStoreOptions> = {}): Promise<Store> {
  const store = redisStore({ url: server.url, prefix: `${randomUUID()}:`, retentionMs: 60_000, ...options })
  await store.open()
  return store
}

async function applyNext(store: Store, from: number | null): Promise<number> {
  const first = from ?? 0
  const result = succeeded(`t${first}`, `${first}`)
  const entries = [{ kind: 'result', offset: first, result }] as const
  const report = await store.apply({ topic: TOPIC, partition: 0, from, next: first + 1, entries })
  assert.deepEqual(report, { kind: 'applied', duplicates: 0 })
  return first + 1
}

/** It connects again a moment after the server is back. */
async function eventually<Value>(ask: () => Promise<Value>): Promise<Value> {
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      assert.equal((error as ForebayError).code, 'STORE_UNAVAILABLE')
      await sleep(20)
    }
  }
}

async function gone(ask: () => Promise<unknown>): Promise<void> {
  while ((await ask()) !== null) await sleep(20)
}

function claim(key: string): Claim {
  return { principal: 'anna', route: 'orders', key, taskId: 'task', fingerprint: 'same', windowMs: 600_000 }
}
