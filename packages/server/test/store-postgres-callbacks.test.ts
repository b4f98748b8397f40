import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import pg from 'pg'
import { startPostgres } from '../../../scripts/rig/postgres.ts'
import { apply, note, succeeded } from '../src/store/contract/contract-place.ts'
import { postgresStore } from '../src/store/postgres/postgres.ts'
import type { Store } from '../src/store/store.ts'

const server = await startPostgres()
after(async () => {
  await server[Symbol.asyncDispose]()
})

test('registrations of one process beside results of another: whoever comes second sees the first', async () => {
  const [gateway, recorder] = await openPair()
  const tasks = Array.from({ length: 300 }, (_, n) => `t${n}`)
  // Of every second task something is known before: its row is there, of the others it is not.
  await apply(recorder, 0, ...tasks.filter((_, n) => n % 2 === 0).map((taskId) => note(taskId, 'running', 1)))
  const first = 1_000
  await Promise.all([
    ...tasks.map((taskId, n) => gateway.callbacks!.register(callbackOf(taskId, n))),
    ...Array.from({ length: 30 }, (_, n) => {
      const results = tasks.slice(n * 10, n * 10 + 10).map((taskId) => succeeded(taskId, 'x'))
      return apply(recorder, first + n * 10, ...results)
    }),
  ])
  assert.deepEqual(await gateway.callbacks!.list({ state: 'waiting' }), [])
  assert.equal((await gateway.callbacks!.list({ state: 'due', countMax: 1_000 })).length, tasks.length)
  for (const taskId of tasks) assert.equal((await gateway.get(taskId))?.status.state, 'succeeded')
  await Promise.all([gateway.close(), recorder.close()])
})

test('a registration leaves no trace of a task that nothing else is known of', async () => {
  const [gateway, other] = await openPair()
  await gateway.callbacks!.register(callbackOf('t', 1))
  assert.equal(await gateway.get('t'), null)
  await Promise.all([gateway.close(), other.close()])
})

test('processes that take at one moment never have more of a host than its share, and each row once', async () => {
  const schema = newSchema()
  const stores = await Promise.all(Array.from({ length: 3 }, () => open(schema)))
  const [store] = stores as [Store, ...Store[]]
  const tasks = Array.from({ length: 120 }, (_, n) => `t${n}`)
  await Promise.all(tasks.map((taskId, n) => store.callbacks!.register(callbackOf(taskId, n, `h${n % 4}.example:443`))))
  await apply(store, 0, ...tasks.map((taskId) => succeeded(taskId, 'x')))
  const seen = new Set<string>()
  while (seen.size < tasks.length) {
    const takes = stores.flatMap((one, n) =>
      [0, 1].map((call) =>
        one.callbacks!.take({ countMax: 50, perHostMax: 3, leaseMs: 60_000, taker: `g${n}-${call}` }).then((rows) => {
          return rows.map((row) => ({ ...row, one, taker: `g${n}-${call}` }))
        }),
      ),
    )
    const taken = (await Promise.all(takes)).flat()
    assert.equal(taken.length, Math.min(12, tasks.length - seen.size))
    for (const host of new Set(taken.map((row) => row.host))) {
      assert.ok(taken.filter((row) => row.host === host).length <= 3)
    }
    const attempt = { atMs: 1, durationMs: 1, status: 200, detail: 'a\0b \ud800' }
    for (const { id, one, taker } of taken) {
      assert.ok(!seen.has(id))
      seen.add(id)
      assert.equal(await one.callbacks!.conclude({ id, taker, attempt, then: { kind: 'delivered' } }), true)
    }
  }
  const [last] = await store.callbacks!.list({ countMax: 1 })
  assert.equal(last?.attempts[0]?.detail, 'a\ufffdb \ufffd')
  await Promise.all(stores.map((one) => one.close()))
})

test('a process of the version before makes callbacks due as well', async () => {
  const [gateway, other] = await openPair()
  const schema = schemaOf.get(gateway)!
  await gateway.callbacks!.register(callbackOf('t', 1))
  const client = new pg.Client(server.url)
  await client.connect()
  // Its call, word for word: it knows this function and nothing of callbacks.
  await client.query(
    `SELECT * FROM ${schema}.apply_batch('results', 7, NULL, 1, NULL, 1, '{1}', '{t}', '{1000}', '{1}', '{0}', '{true}',
       '{succeeded}', '{orders}', '{anna}', '{text/plain}', '{NULL}', '{NULL}', '{NULL}', '{NULL}', '{1}', '{1}', 'x')`,
  )
  await client.end()
  assert.equal((await gateway.callbacks!.list({}))[0]?.state, 'due')
  await Promise.all([gateway.close(), other.close()])
})

test('a host with a hundred thousand callbacks that are due keeps nobody waiting', async () => {
  const [gateway, other] = await openPair()
  const schema = schemaOf.get(gateway)!
  const client = new pg.Client(server.url)
  await client.connect()
  await client.query(`INSERT INTO ${schema}.callbacks (id, task_id, owner, queue, url, host, keep_until_ms, state, next_at_ms,
      due_since_ms, generation, task_state, changed_at_ms)
    SELECT 'cb_' || n, 't' || n, 'anna', 'orders', 'https://dead.example/', 'dead.example:443', 9e15, 'due', n, n, 0,
      'succeeded', n FROM generate_series(1, 100000) AS n`)
  await client.end()
  await gateway.callbacks!.register(callbackOf('live', 1, 'live.example:443'))
  await apply(other, 0, succeeded('live', 'x'))
  const begun = performance.now()
  const rounds = 20
  const hosts = new Set<string>()
  for (let round = 0; round < rounds; round++) {
    const taken = await gateway.callbacks!.take({ countMax: 50, perHostMax: 4, leaseMs: 60_000, taker: 'g' })
    for (const row of taken) hosts.add(row.host)
    await gateway.callbacks!.nextDueMs()
  }
  const eachMs = (performance.now() - begun) / rounds
  assert.deepEqual([...hosts].sort(), ['dead.example:443', 'live.example:443'])
  assert.ok(eachMs < 200, `${eachMs} ms`)
  await Promise.all([gateway.close(), other.close()])
})

const schemaOf = new Map<Store, string>()

async function openPair(): Promise<readonly [Store, Store]> {
  const schema = newSchema()
  return [await open(schema), await open(schema)]
}

async function open(schema: string): Promise<Store> {
  // Results of these tests ended in 1970: a sweep would take them.
  const store = postgresStore({
    url: server.url,
    schema,
    connectionsMax: 4,
    retentionMs: 60_000,
    sweepIntervalMs: 3_600_000,
  })
  await store.open()
  schemaOf.set(store, schema)
  return store
}

function newSchema(): string {
  return `test_${randomUUID().replaceAll('-', '_')}`
}

function callbackOf(taskId: string, number: number, host = `h${number}.example:443`) {
  const id = `cb_${`${number}`.padStart(26, '0')}`
  return { id, taskId, owner: 'anna', queue: 'orders', url: `https://${host}/hook`, host, keepUntilMs: 9e15 }
}
