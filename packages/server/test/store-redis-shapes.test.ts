import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from '@redis/client'
import { startRedis } from '../../../scripts/rig/redis.ts'
import { apply, ended, note, succeeded } from '../src/store/contract/contract-place.ts'
import { chunk, progress, RUN_B, said } from '../src/store/contract/output-place.ts'
import type { RedisStoreOptions } from '../src/store/redis/options.ts'
import { redisStore } from '../src/store/redis/redis.ts'
import type { Store } from '../src/store/store.ts'

const server = await startRedis()
after(async () => {
  await server[Symbol.asyncDispose]()
})

test('another service reads results and outputs with a plain client, as documented', async () => {
  const store = redisStore({ url: server.url, retentionMs: 60_000 })
  await store.open()
  const talk = [chunk('talks', 1, 'Hel'), chunk('talks', 2, 'lo'), progress('talks', 2, 'half way')]
  await apply(
    store,
    0,
    succeeded('done', 'héllo'),
    ended('lost', 'dead', 'no worker'),
    note('open', 'running', 2),
    ...talk,
  )

  const reader = await createClient({ url: server.url }).connect()
  const life = (await reader.get('forebay:life')) ?? '0'
  const task = async (id: string) => ({ ...(await reader.hGetAll(`forebay:${life}:task:${id}`)) })
  const common = { queue: 'orders', owner: 'anna', generation: '0', at: '1000' }
  const nothing = { 'content-type': '', fault: '', detail: '', blob: '', 'blob-bytes': '', payload: '' }
  assert.deepEqual(await task('done'), {
    ...common,
    ...nothing,
    ended: '1',
    state: 'succeeded',
    attempts: '1',
    'content-type': 'text/plain',
    payload: 'héllo',
  })
  assert.deepEqual(await task('lost'), {
    ...common,
    ...nothing,
    ended: '1',
    state: 'dead',
    attempts: '3',
    fault: 'WORKER_FAILED',
    detail: 'no worker',
  })
  assert.deepEqual(await task('open'), { ...common, ...nothing, ended: '0', state: 'running', attempts: '2' })
  assert.deepEqual(await task('nobody'), {})

  const chunks = await reader.xRange(`forebay:${life}:chunks:talks`, '-', '+')
  assert.deepEqual(
    chunks!.map(({ id, message }) => ({ id, ...message })),
    [
      { id: '3-1', chunk: '1', at: '1000', 'content-type': 'text/plain', payload: 'Hel' },
      { id: '4-1', chunk: '2', at: '1000', 'content-type': 'text/plain', payload: 'lo' },
    ],
  )
  const head = await reader.hGetAll(`forebay:${life}:output:talks`)
  assert.deepEqual([head.chunks, head.began, head.fraction, head.message], ['2', '3', '0.5', 'half way'])
  for (const key of await reader.keys('forebay:*:*:*')) assert.ok((await reader.pTTL(key)) > 0, `${key} stays for ever`)

  await store.rebuild('results')
  assert.equal(await reader.get('forebay:life'), '1', 'the next life, in which nothing is known yet')
  assert.deepEqual(await reader.keys('forebay:0:*'), [])
  await reader.close()
  await store.close()
})

test('what a task has said expires by itself: with its end, or the retention after its last output', async () => {
  const store = await open({ retentionMs: 1_200 })
  await apply(store, 0, chunk('ends', 1, 'a'), chunk('silent', 1, 'a'), chunk('talks', 1, 'a'))
  await sleep(700)
  await apply(store, 3, succeeded('ends', 'x'), chunk('talks', 2, 'b'))
  while ((await said(store.outputs!, 'silent')) !== null) await sleep(20)
  assert.deepEqual(await said(store.outputs!, 'ends'), ['0:a'])
  assert.deepEqual(await said(store.outputs!, 'talks'), ['2:a', '4:b'])
  while ((await store.get('ends')) !== null || (await said(store.outputs!, 'ends')) !== null) await sleep(20)
  while ((await said(store.outputs!, 'talks')) !== null) await sleep(20)
  await apply(store, 5, chunk('talks', 3, 'c'))
  assert.equal(await said(store.outputs!, 'talks'), null, 'nobody knows any more what came before')
  await store.close()
})

test('a run that begins anew leaves nothing of the one before', async () => {
  const prefix = `${randomUUID()}:`
  const store = await open({ prefix })
  await apply(store, 0, chunk('t', 1, 'a'), chunk('t', 2, 'b'), progress('t', 2, 'p'))
  await apply(store, 3, chunk('t', 1, 'A', { run: RUN_B }))
  const reader = await createClient({ url: server.url }).connect()
  assert.equal(await reader.xLen(`${prefix}0:chunks:t`), 1)
  assert.equal(await reader.hExists(`${prefix}0:output:t`, 'message'), 0)
  await reader.close()
  await store.close()
})

async function open(options: Partial<RedisStoreOptions> = {}): Promise<Store> {
  const store = redisStore({ url: server.url, prefix: `${randomUUID()}:`, retentionMs: 60_000, ...options })
  await store.open()
  return store
}
