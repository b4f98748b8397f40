import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { embeddedBroker } from '@forebay/broker/embedded'
import { openEventLog } from '../src/event-log.ts'
import { createRelay } from '../src/outbox/relay.ts'
import { sqliteOutbox } from '../src/outbox/sqlite-outbox.ts'
import { headersOf, until } from './event-rig.ts'
import { openRelays } from './outbox-rig.ts'
import { idOf, readRecords } from './read-records.ts'
import { created, verified } from './some-events.ts'

const outbox = sqliteOutbox({ source: '/user-service' })

test('what is committed is in the log as it was published; what is rolled back or still open is not', async () => {
  using place = openFile()
  await using relays = await openRelays()
  const relay = await relays.relay(outbox.rows(place.path))
  const { database } = place
  database.exec('BEGIN')
  outbox.publish(database, verified, { data: { userId: 'a' }, id: 'rolled back' })
  database.exec('ROLLBACK')
  database.exec('BEGIN')
  const data = { userId: 'ü', email: 'ada@example.com' }
  outbox.publish(database, created, { data, id: 'e-1', timeMs: 1_700_000_000_123, extensions: { tenant: 'ü' } })
  await until(() => relay.state === 'active' || relay.counts.failures > 1)
  assert.equal(relay.counts.published, 0)
  database.exec('COMMIT')
  const [record] = await relays.read(1)
  assert.deepEqual(headersOf(record!), {
    ce_specversion: '1.0',
    ce_id: 'e-1',
    ce_source: '/user-service',
    ce_type: 'user_account_created',
    ce_time: '2023-11-14T22:13:20.123Z',
    ce_dataversion: '1',
    ce_dataschema: 'urn:forebay:event:user_account_created:1',
    ce_partitionkey: 'ü',
    ce_tenant: 'ü',
    'content-type': 'application/json',
  })
  assert.deepEqual(JSON.parse(Buffer.from(record!.value!).toString()), data)
  await until(() => relay.counts.published === 1)
  await relay.stop()
  assert.deepEqual(database.prepare('SELECT * FROM forebay_outbox').all(), [])
})

test('four writers with rollbacks: the log has what was committed, in the order of the commits, each once', async () => {
  using place = openFile()
  await using relays = await openRelays()
  const relay = await relays.relay(outbox.rows(place.path), { waveRowsMax: 13 })
  const writers = Array.from({ length: 4 }, () => place.open())
  const committed: string[] = []
  for (let index = 0; index < 400; index++) {
    const writer = writers[Math.floor(Math.random() * writers.length)]!
    // The relay, which never waits, may be writing in this moment; it does so in one piece, and not while we run.
    writer.exec('BEGIN IMMEDIATE')
    outbox.publish(writer, verified, { data: { userId: `u${index % 5}` }, id: `e-${index}` })
    const isCommitted = Math.random() < 0.7
    if (Math.random() < 0.1) await new Promise((resolve) => setTimeout(resolve, 15))
    writer.exec(isCommitted ? 'COMMIT' : 'ROLLBACK')
    if (isCommitted) committed.push(`e-${index}`)
  }
  assert.deepEqual(await relays.idsOf(committed.length), committed)
  await until(() => relay.counts.published === committed.length)
  assert.deepEqual(await relay.lag(), { rows: 0, oldestMs: 0, refused: 0 })
})

test('a relay whose file is locked keeps what the log has in mind, and publishes nothing twice', async () => {
  using place = openFile()
  await using relays = await openRelays()
  place.commit('1', '2')
  const relay = await relays.relay(outbox.rows(place.path))
  await until(() => relay.counts.published === 2)
  const locks = place.open()
  // In one piece, so that the relay cannot come in between: committed, and locked again.
  place.commit('3')
  locks.exec('BEGIN IMMEDIATE')
  await until(() => relay.counts.published === 3 && relay.counts.failures > 1)
  locks.exec('COMMIT')
  place.commit('4')
  await until(() => relay.counts.published === 4)
  assert.deepEqual(await relays.idsOf(4), ['1', '2', '3', '4'])
})

test('a process that dies between the log and the database: the next one publishes again, with the same ids', async () => {
  using place = openFile()
  const ids = Array.from({ length: 20 }, (_, index) => `e-${index}`)
  place.commit(...ids)
  const dir = join(place.dir, 'log')
  mkdirSync(dir)
  for (let deaths = 0; deaths < 2; deaths++) {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'crashing-sqlite-relay.ts'), place.path, dir])
    child.stderr.pipe(process.stderr)
    assert.deepEqual(await once(child, 'exit'), [null, 'SIGKILL'])
  }
  await using log = await openEventLog({ broker: embeddedBroker({ dir }), events: [verified] })
  await using relay = await createRelay({ outbox: outbox.rows(place.path), broker: log, events: [verified] })
  await until(() => relay.counts.published === ids.length)
  const found = (await readRecords(log.broker, 'accounts', ids.length + 2 * 7)).map(idOf)
  assert.deepEqual([...new Set(found)], ids)
})

test('rows that cannot be published are put aside; published ones are kept and pruned', async () => {
  using place = openFile()
  await using relays = await openRelays()
  const insert = place.database.prepare('INSERT INTO forebay_outbox (topic, source, type, data) VALUES (?, ?, ?, ?)')
  insert.run('elsewhere', '/s', 't', Buffer.from('1'))
  place.commit('good')
  const rows = outbox.rows(place.path)
  const relay = await relays.relay(rows, { rowRetentionMs: 3_600_000 })
  assert.deepEqual(await relays.idsOf(1), ['good'])
  await until(() => relay.counts.refused === 1 && relay.counts.published === 1)
  assert.equal((await relay.lag()).refused, 1)
  await relay.stop()
  const again = outbox.rows(place.path)
  assert.equal(await again.prune(3_600_000, 10), 0)
  assert.equal(await again.prune(0, 10), 1)
  await again.close()
})

test('a database without a transaction is refused, and so is a table with a schema', () => {
  using place = openFile()
  const publish = () => outbox.publish(place.database, verified, { data: { userId: 'a' } })
  assert.throws(publish, { code: 'CONFIG_INVALID' })
  assert.throws(() => sqliteOutbox({ source: '/s', table: 'a.b' }), { code: 'CONFIG_INVALID' })
  outbox.migrate(place.database)
})

/** A file in WAL mode with the table in it, and connections to it. */
function openFile() {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-outbox-sqlite-'))
  const path = join(dir, 'service.db')
  const connections: DatabaseSync[] = []
  const open = () => {
    const database = new DatabaseSync(path)
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL')
    connections.push(database)
    return database
  }
  const database = open()
  outbox.migrate(database)
  return {
    dir,
    path,
    open,
    database,
    commit(...ids: readonly string[]): void {
      database.exec('BEGIN')
      for (const id of ids) outbox.publish(database, verified, { data: { userId: 'a' }, id })
      database.exec('COMMIT')
    },
    [Symbol.dispose]() {
      for (const one of connections) one.close()
      rmSync(dir, { recursive: true })
    },
  }
}
