import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ForebayError } from '@forebay/protocol'
import pg from 'pg'
import { startPostgres } from '../../../scripts/rig/postgres.ts'
import { answer, apply, ended, succeeded, TOPIC } from '../src/store/contract/contract-place.ts'
import { behind, offsetsOf, ownPartition, QUEUE, row } from '../src/store/contract/parking-place.ts'
import { SCHEMA_VERSION } from '../src/store/postgres/migrations.ts'
import type { PostgresStoreOptions } from '../src/store/postgres/options.ts'
import { postgresStore } from '../src/store/postgres/postgres.ts'
import type { Claim, Store } from '../src/store/store.ts'

const server = await startPostgres()
after(async () => {
  await server[Symbol.asyncDispose]()
})

test('kill -9 of the server at any moment: what was acknowledged is there, and the store goes on by itself', async () => {
  const schema = newSchema()
  const store = await open({ schema })
  const parking = store.parking!
  const owned = await ownPartition(parking)
  let next = 0
  let parked = 0
  let claimed = 0
  let refused = 0
  for (let round = 0; round < 4; round++) {
    const killed = sleep(50 + Math.random() * 150).then(() => server.kill())
    try {
      for (;;) {
        await store.apply({
          topic: TOPIC,
          partition: 0,
          from: next === 0 ? null : next,
          next: next + 1,
          entries: [{ kind: 'result', offset: next, result: succeeded(`t${next}`, `${next}`) }],
        })
        next += 1
        await parking.park(owned, [row(parked)])
        parked += 1
        await store.reserve(claim(`k${claimed}`, `task-${claimed}`))
        claimed += 1
      }
    } catch (error) {
      assert.equal((error as ForebayError).code, 'STORE_UNAVAILABLE')
      refused += 1
    }
    await killed
    await assert.rejects(store.get('t0'), { code: 'STORE_UNAVAILABLE' })
    await server.restart()
    const position = (await store.positions(TOPIC)).get(0) ?? 0
    // The call whose answer was lost may have been carried out.
    assert.ok(position === next || position === next + 1, `${position}, acknowledged ${next}`)
    next = position
    for (let offset = 0; offset < next; offset++) assert.equal(await answer(store, `t${offset}`), `${offset}`)
    const { total } = await parking.list({ limit: 1 })
    assert.ok(total === parked || total === parked + 1, `${total}, acknowledged ${parked}`)
    parked = total
    for (let key = 0; key < claimed; key++) {
      assert.deepEqual(await store.reserve(claim(`k${key}`, 'other')), { kind: 'in-flight' })
    }
  }
  assert.equal(refused, 4)
  assert.ok(next > 4)
  await store.close()
})

test('a server that falls silent: every call is refused within seconds, also those that wait for a connection', async () => {
  const store = await open({ connectionsMax: 2 })
  const owned = await ownPartition(store.parking!)
  await server.pause()
  const begun = performance.now()
  const calls = [
    apply(store, 0, succeeded('t', 'x')),
    store.get('t'),
    store.reserve(claim('k', 'task')),
    store.positions(TOPIC),
    store.parking!.take(QUEUE, [owned], 10),
    store.parking!.park(owned, [row(1)]),
  ]
  const outcomes = await Promise.allSettled(calls)
  const tookMs = performance.now() - begun
  await server.resume()
  for (const outcome of outcomes) {
    assert.ok(outcome.status === 'rejected')
    assert.equal(outcome.reason.code, 'STORE_UNAVAILABLE')
    assert.match(outcome.reason.message, new RegExp(`127\\.0\\.0\\.1:${server.port}`))
  }
  assert.ok(tookMs < 16_000, `${tookMs} ms`)
  assert.equal(await apply(store, 10, succeeded('u', 'y')), 0)
  await store.close()
})

test('opening waits for a server that is not there yet', async () => {
  await server.stop()
  const opening = open()
  await sleep(500)
  await server.restart()
  const store = await opening
  assert.equal(await store.get('t'), null)
  await store.close()
})

test('opening gives up with the name of the server, and says why', async () => {
  const url = 'postgres://me:secret-word@127.0.0.1:1/forebay'
  await assert.rejects(postgresStore({ url, retentionMs: 1, openTimeoutMs: 300 }).open(), (error: ForebayError) => {
    assert.equal(error.code, 'STORE_UNAVAILABLE')
    assert.match(error.message, /127\.0\.0\.1:1 .*ECONNREFUSED/)
    assert.ok(!JSON.stringify([error.message, error.members]).includes('secret-word'))
    return true
  })
})

test('what waiting will not mend is said at once', async () => {
  const wrong = new URL(server.url)
  wrong.password = 'another'
  await assert.rejects(open({ url: wrong.href }), { code: 'CONFIG_INVALID', message: /password authentication failed/ })
  const missing = new URL(server.url)
  missing.pathname = '/nowhere'
  await assert.rejects(open({ url: missing.href }), { code: 'CONFIG_INVALID', message: /"nowhere" does not exist/ })
  await assert.rejects(open({ url: 'no address' }), { code: 'CONFIG_INVALID' })
  await assert.rejects(open({ schema: 'Robert"; DROP' }), { code: 'CONFIG_INVALID' })
})

test('a schema of a later version is refused and left alone', async () => {
  const schema = newSchema()
  await (await open({ schema })).close()
  await query(`INSERT INTO ${schema}.migrations (version) VALUES (1000)`)
  await assert.rejects(open({ schema }), { code: 'CONFIG_INVALID', message: /later version of Forebay \(1000/ })
  assert.deepEqual(await query(`SELECT max(version) AS version FROM ${schema}.migrations`), [{ version: 1000 }])
})

test('processes that start together make the schema once', async () => {
  const schema = newSchema()
  const stores = await Promise.all(Array.from({ length: 6 }, () => open({ schema, connectionsMax: 2 })))
  assert.deepEqual(await query(`SELECT count(*)::integer AS count FROM ${schema}.migrations`), [
    { count: SCHEMA_VERSION },
  ])
  await Promise.all(stores.map((store) => store.close()))
})

test('recorders that offer the same log apply each part of it once, whoever is ahead', async () => {
  const schema = newSchema()
  const stores = await Promise.all(Array.from({ length: 3 }, () => open({ schema, connectionsMax: 3 })))
  const entries = Array.from({ length: 400 }, (_, offset) => ({
    kind: 'result' as const,
    offset,
    result: succeeded(`t${offset}`, `${offset}`),
  }))
  const read = async (store: Store) => {
    let from: number | null = null
    let duplicates = 0
    while (from === null || from < entries.length) {
      const first: number = from ?? 0
      const next = Math.min(entries.length, first + 1 + Math.floor(Math.random() * 40))
      const report = await store.apply({ topic: TOPIC, partition: 0, from, next, entries: entries.slice(first, next) })
      assert.ok(report.kind === 'applied')
      duplicates += report.duplicates
      from = next
    }
    return duplicates
  }
  assert.deepEqual(await Promise.all(stores.map(read)), [0, 0, 0])
  assert.equal((await stores[0]!.positions(TOPIC)).get(0), entries.length)
  assert.deepEqual(await query(`SELECT count(*)::integer AS count FROM ${schema}.tasks`), [{ count: entries.length }])
  await Promise.all(stores.map((store) => store.close()))
})

test('claims of many keys from several processes at once: each key goes to exactly one, and nobody waits crosswise', async () => {
  const schema = newSchema()
  const stores = await Promise.all(Array.from({ length: 3 }, () => open({ schema, connectionsMax: 3 })))
  const keys = Array.from({ length: 300 }, (_, n) => `k${n}`)
  const asked = await Promise.all(
    stores.map((store, index) => {
      const mine = index % 2 === 0 ? keys : keys.toReversed()
      return Promise.all(mine.map(async (key) => ({ key, kind: (await store.reserve(claim(key, `${index}`))).kind })))
    }),
  )
  for (const key of keys) {
    const kinds = asked.flat().filter((one) => one.key === key)
    assert.deepEqual(kinds.map((one) => one.kind).sort(), ['claimed', 'in-flight', 'in-flight'])
  }
  await Promise.all(stores.map((store) => store.close()))
})

test('gateways of the version before go on beside new ones, and neither frees or splits what the other holds', async () => {
  const schema = newSchema()
  await (await open({ schema })).close()
  // As the version before left it; one of its gateways goes on with the connection that it has.
  await query(`
    DROP FUNCTION ${schema}.hold_claims; ALTER TABLE ${schema}.reservations DROP COLUMN renews;
    DELETE FROM ${schema}.migrations WHERE version = 5`)
  const old = new pg.Client(server.url)
  await old.connect()
  const run = randomUUID()
  let nowMs = 1_000_000
  const acted = async (act: string, key: string, taskId: string | null = null) => {
    const asked = [nowMs, run, 45_000, [act], ['anna'], ['orders'], [key], [taskId], ['same'], [600_000]]
    const call = `SELECT * FROM ${schema}.claim($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`
    return (await old.query(call, asked)).rows[0] as { kind: string | null; task_id: string | null }
  }
  for (const key of ['slow', 'dead']) assert.equal((await acted('reserve', key, `old-${key}`)).kind, 'claimed')
  const store = await open({ schema, serverNowMs: () => nowMs })
  assert.equal((await acted('reserve', 'later', 'old-later')).kind, 'claimed')
  assert.equal((await store.reserve(claim('mine', 'new'))).kind, 'claimed')

  nowMs += 44_999
  for (const key of ['slow', 'dead', 'later']) {
    assert.deepEqual(await store.reserve(claim(key, 'new')), { kind: 'in-flight' }, 'the old ones do not renew theirs')
  }
  assert.deepEqual(await store.reserve(claim('mine', 'other')), { kind: 'resume', taskId: 'new' })
  nowMs += 1
  assert.deepEqual(await store.reserve(claim('slow', 'new')), { kind: 'resume', taskId: 'old-slow' })
  await acted('release', 'slow')
  assert.deepEqual(await acted('reserve', 'slow', 'next'), { kind: 'resume', task_id: 'old-slow' })
  await acted('confirm', 'slow')
  assert.deepEqual(await store.reserve(claim('slow', 'new')), { kind: 'kept', taskId: 'old-slow' })

  nowMs += 45_000
  assert.deepEqual(await acted('reserve', 'mine', 'next'), { kind: 'resume', task_id: 'new' })
  assert.equal(await store.confirm(claim('mine', 'new')), 'shared')
  assert.equal((await acted('reserve', 'mine', 'next')).kind, 'kept')
  await old.end()
  await store.close()
})

test('rows whose taking nobody heard of are given back by the next call', async () => {
  const schema = newSchema()
  await using deaf = await startDeafProxy(server.port)
  const through = new URL(server.url)
  through.port = String(deaf.port)
  const store = await open({ schema, url: through.href, connectionsMax: 1 })
  const parking = store.parking!
  const owned = await ownPartition(parking)
  await parking.park(owned, [row(1), behind(2, 'k', { reason: 'backoff', dueInMs: 0 }), behind(3, 'k')])

  deaf.deaf = true
  const lost = parking.take(QUEUE, [owned], 10)
  await until(async () => (await takenIn(schema)) === 2)
  deaf.cut()
  await assert.rejects(lost, { code: 'STORE_UNAVAILABLE' })
  assert.deepEqual(offsetsOf(await parking.take(QUEUE, [owned], 10)).toSorted(), [1, 2])

  deaf.deaf = true
  const lostLine = parking.takeLine(owned, 'k', 10)
  await until(async () => (await takenIn(schema)) === 3)
  deaf.cut()
  await assert.rejects(lostLine, { code: 'STORE_UNAVAILABLE' })
  assert.deepEqual(offsetsOf(await parking.takeLine(owned, 'k', 10)), [3], 'and not what was heard of')
  await store.close()
})

test('a sweep leaves it to the process that is at it', async () => {
  const schema = newSchema()
  const store = await open({ schema })
  const client = new pg.Client(server.url)
  await client.connect()
  await client.query('BEGIN')
  const sweep = `SELECT ${schema}.sweep(NULL, 1000, 1000) AS removed`
  assert.deepEqual((await client.query(sweep)).rows, [{ removed: 0 }])
  assert.deepEqual(await query(sweep), [{ removed: -1 }])
  await client.query('COMMIT')
  assert.deepEqual(await query(sweep), [{ removed: 0 }])
  await client.end()
  await store.close()
})

test('a text that PostgreSQL cannot hold costs a character, not the batch', async () => {
  const store = await open()
  const batch = [ended('t', 'dead', 'a\0b \ud800'), succeeded('u', 'fine')]
  assert.equal(await apply(store, 0, ...batch), 0)
  const { status } = (await store.get('t'))!
  assert.ok(status.state === 'dead')
  assert.equal(status.fault.detail, 'a\ufffdb \ufffd')
  assert.equal(await answer(store, 'u'), 'fine')
  assert.equal(await store.get('a\0b'), null)
  assert.equal((await store.reserve(claim('k\0', 'task'))).kind, 'claimed')
  await store.close()
})

async function open(options: Partial<PostgresStoreOptions> = {}): Promise<Store> {
  // Results of these tests ended in 1970: a sweep would take them.
  const sweepIntervalMs = 3_600_000
  const store = postgresStore({
    url: server.url,
    schema: newSchema(),
    retentionMs: 60_000,
    sweepIntervalMs,
    ...options,
  })
  await store.open()
  return store
}

function newSchema(): string {
  return `test_${randomUUID().replaceAll('-', '_')}`
}

async function query(text: string): Promise<readonly unknown[]> {
  const client = new pg.Client(server.url)
  await client.connect()
  try {
    return (await client.query(text)).rows
  } finally {
    await client.end()
  }
}

async function takenIn(schema: string): Promise<number> {
  const [counted] = await query(`SELECT count(*)::integer AS count FROM ${schema}.parked WHERE taken IS NOT NULL`)
  return (counted as { count: number }).count
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await sleep(5)
}

function claim(key: string, taskId: string): Claim {
  return { principal: 'anna', route: 'orders', key, taskId, fingerprint: 'same', windowMs: 600_000 }
}

/** Passes everything on, but for answers while it is deaf. */
async function startDeafProxy(port: number) {
  const sockets = new Set<Socket>()
  const proxy = {
    port: 0,
    deaf: false,
    /** Ends the connections, and hears again. */
    cut() {
      for (const socket of sockets) socket.destroy()
      proxy.deaf = false
    },
    async [Symbol.asyncDispose]() {
      proxy.cut()
      listener.close()
      await once(listener, 'close')
    },
  }
  const listener = createServer((near) => {
    const far = connect(port, '127.0.0.1')
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        near.destroy()
        far.destroy()
      })
    }
    near.on('data', (bytes) => far.write(bytes))
    far.on('data', (bytes) => {
      if (!proxy.deaf) near.write(bytes)
    })
  }).listen(0, '127.0.0.1')
  await once(listener, 'listening')
  proxy.port = (listener.address() as { port: number }).port
  return proxy
}
