import assert from 'node:assert/strict'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { entries } from '../src/store/contract/contract-place.ts'
import { chunk, said } from '../src/store/contract/output-place.ts'
import { behind, row } from '../src/store/contract/parking-place.ts'
import type { Store } from '../src/store/store.ts'
import { folder, openStore, result } from './support/results-rig.ts'

test('a file of version 1 goes on with all it holds, and takes what later ones add', async (t) => {
  const dir = folder(t)
  fileOfVersion1(dir)
  const store = await openStore(t, dir)
  await checkFormer(store)
  const reopened = { ...result('dead', ''), generation: 1, attempts: 1 }
  const blob = { sha256: 'ab'.repeat(32), bytes: 7 }
  const large = { ...result('large', ''), end: { ...result('large', '').end, blob } } as typeof reopened
  const batch = { topic: 'results', partition: 3, from: 40, next: 42, entries: entries(40, reopened, large) }
  const report = await store.apply(batch)
  assert.deepEqual(report, { kind: 'applied', duplicates: 0 })
  assert.equal((await store.get('dead'))?.generation, 1)
  const found = (await store.get('large'))!.status
  assert.deepEqual(found.state === 'succeeded' && found.blob, blob)
  const { epoch } = await store.parking!.own('orders', 0)
  await store.parking!.park({ queue: 'orders', partition: 0, epoch }, [row(1), behind(2, 'k')])
  await store.apply({
    topic: 'results',
    partition: 3,
    from: 42,
    next: 43,
    entries: entries(42, chunk('open', 1, 'said')),
  })
  const callback = {
    owner: 'anna',
    queue: 'orders',
    url: 'https://h/',
    host: 'h:443',
    keepUntilMs: Date.now() + 60_000,
  }
  assert.equal(await store.callbacks!.register({ id: 'cb_1', taskId: 'ended', ...callback }), 'registered')
  await store.close()

  const again = await openStore(t, dir)
  assert.equal((await again.get('ended'))?.attempts, 2)
  assert.deepEqual(await said(again.outputs!, 'open'), ['42:said'])
  assert.equal((await again.callbacks!.list({}))[0]?.state, 'due', 'its task has ended')
  assert.equal((await again.parking!.list({ limit: 10 })).total, 2)
  assert.deepEqual((await again.parking!.own('orders', 0)).lines, ['k'])
})

test('a file of version 1 that was opened and left alone says the same again', async (t) => {
  const dir = folder(t)
  fileOfVersion1(dir)
  for (let round = 0; round < 2; round++) {
    const store = await openStore(t, dir)
    await checkFormer(store)
    await store.close()
  }
})

test('a file from which a table is missing is refused, naming the file', async (t) => {
  const dir = folder(t)
  const database = new DatabaseSync(join(dir, 'store.db'))
  database.exec('CREATE TABLE something (x); PRAGMA user_version = 1')
  database.close()
  await assert.rejects(openStore(t, dir), { code: 'DATA_CORRUPT', message: /store\.db/ })
})

/** What version 1 wrote is there; its claim, kept, answers as it would have. */
async function checkFormer(store: Store): Promise<void> {
  const ended = (await store.get('ended'))!
  assert.deepEqual(
    { ...ended, status: null },
    {
      taskId: 'ended',
      queue: 'orders',
      owner: 'anna',
      attempts: 2,
      generation: 0,
      status: null,
    },
  )
  assert.ok(ended.status.state === 'succeeded')
  assert.deepEqual([Buffer.from(ended.status.payload).toString(), ended.status.contentType], ['hällo', 'text/plain'])
  assert.equal(ended.status.blob, undefined)
  const dead = (await store.get('dead'))!.status
  assert.deepEqual(dead.state === 'dead' && dead.fault, { code: 'WORKER_FAILED', detail: 'no' })
  assert.equal((await store.get('open'))?.status.state, 'retrying')
  assert.deepEqual(await store.positions('results'), new Map([[3, 40]]))
  const claim = { principal: 'anna', route: 'orders', key: 'k', taskId: 'new', fingerprint: 'f', windowMs: 1_000 }
  assert.deepEqual(await store.reserve(claim), { kind: 'kept', taskId: 'ended' })
}

/** Made by the very SQL of version 1, as it was released. */
function fileOfVersion1(dir: string): void {
  const database = new DatabaseSync(join(dir, 'store.db'))
  database.exec(`PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; ${VERSION_1} PRAGMA user_version = 1`)
  const nowMs = Date.now()
  const put = database.prepare('INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
  put.run('ended', 1, nowMs, 'orders', 'anna', 2, 'succeeded', 'text/plain', null, null, Buffer.from('hällo'))
  put.run('dead', 1, nowMs, 'orders', 'anna', 5, 'dead', null, 'WORKER_FAILED', 'no', null)
  put.run('open', 0, nowMs, 'orders', 'anna', 1, 'retrying', null, 'WORKER_FAILED', 'again', null)
  database.exec("INSERT INTO positions VALUES ('results', 3, 40)")
  const claim = database.prepare('INSERT INTO reservations VALUES (?, ?, ?, ?, ?, 1, 0, 1, ?, ?)')
  claim.run('anna', 'orders', 'k', 'ended', 'f', 5.5, nowMs + 3_600_000)
  database.close()
}

const VERSION_1 = `
  CREATE TABLE tasks (
    task_id TEXT NOT NULL,
    ended INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    queue TEXT NOT NULL,
    owner TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    state TEXT NOT NULL,
    content_type TEXT,
    fault_code TEXT,
    fault_detail TEXT,
    payload BLOB
  ) STRICT;
  CREATE UNIQUE INDEX tasks_by_id ON tasks (task_id);
  CREATE INDEX tasks_by_age ON tasks (ended, at_ms);

  CREATE TABLE positions (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE reservations (
    principal TEXT NOT NULL,
    route TEXT NOT NULL,
    key TEXT NOT NULL,
    task_id TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    kept INTEGER NOT NULL,
    resumed INTEGER NOT NULL,
    run INTEGER NOT NULL,
    claimed_at_ms REAL NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    PRIMARY KEY (principal, route, key)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX reservations_by_age ON reservations (expires_at_ms);

  CREATE TABLE runs (run INTEGER NOT NULL) STRICT;
  INSERT INTO runs VALUES (0);
`
