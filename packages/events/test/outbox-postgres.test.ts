import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import pg from 'pg'
import { startPgBouncer } from '../../../scripts/rig/pgbouncer.ts'
import { startPostgres } from '../../../scripts/rig/postgres.ts'
import { headersOf, until } from './event-rig.ts'
import { end, openPostgresOutbox, openRelays } from './outbox-rig.ts'
import { created, verified } from './some-events.ts'

const server = await startPostgres()
after(() => server[Symbol.asyncDispose]())

test('what is committed is in the log as it was published, and what is rolled back is not', async () => {
  await using place = await openPostgresOutbox(server.url)
  await using relays = await openRelays()
  const relay = await relays.relay(place.outbox.rows(place.pool))
  const lost = await place.begin()
  await place.outbox.publish(lost, verified, { data: { userId: 'a' }, id: 'rolled back' })
  await end(lost, 'ROLLBACK')
  const partly = await place.begin()
  await place.outbox.publish(partly, verified, { data: { userId: 'a' }, id: 'before the savepoint' })
  await partly.query('SAVEPOINT here')
  await place.outbox.publish(partly, verified, { data: { userId: 'a' }, id: 'behind the savepoint' })
  await partly.query('ROLLBACK TO SAVEPOINT here')
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const given = {
    timeMs: 1_700_000_000_123,
    subject: 'ada',
    traceparent,
    tracestate: 'a=b',
    extensions: { tenant: 'ü' },
  }
  const data = { userId: 'ü', email: 'ada@example.com' }
  const id = await place.outbox.publish(partly, created, { data, ...given })
  await end(partly, 'COMMIT')
  const [first, second] = await relays.read(2)
  assert.equal(headersOf(first!).ce_id, 'before the savepoint')
  assert.deepEqual(headersOf(second!), {
    ce_specversion: '1.0',
    ce_id: id,
    ce_source: '/user-service',
    ce_type: 'user_account_created',
    ce_time: '2023-11-14T22:13:20.123Z',
    ce_dataversion: '1',
    ce_subject: 'ada',
    ce_dataschema: 'urn:forebay:event:user_account_created:1',
    ce_partitionkey: 'ü',
    ce_traceparent: traceparent,
    ce_tracestate: 'a=b',
    ce_tenant: 'ü',
    'content-type': 'application/json',
  })
  assert.equal(String(second!.key), 'ü')
  assert.deepEqual(JSON.parse(String(second!.value)), data)
  await until(() => relay.counts.published === 2)
  await relay.stop()
  assert.deepEqual((await place.pool.query(`SELECT FROM ${place.table}`)).rowCount, 0)
})

test('a transaction that took its number early and commits late is not skipped, and holds up nobody', async () => {
  await using place = await openPostgresOutbox(server.url)
  await using relays = await openRelays()
  await relays.relay(place.outbox.rows(place.pool))
  const late = await place.begin()
  await place.outbox.publish(late, verified, { data: { userId: 'a' }, id: 'late' })
  await place.commit({ id: 'b-1', userId: 'b' }, { id: 'b-2', userId: 'b' })
  assert.deepEqual(await relays.idsOf(2), ['b-1', 'b-2'])
  await end(late, 'COMMIT')
  assert.deepEqual(await relays.idsOf(3), ['b-1', 'b-2', 'late'])
})

test('a key keeps the order of its lock, whichever transaction wrote something first, and while another goes on', async () => {
  await using place = await openPostgresOutbox(server.url)
  await using relays = await openRelays()
  await place.pool.query(`CREATE TABLE ${place.table}_users (id text PRIMARY KEY, changes integer)`)
  await place.pool.query(`INSERT INTO ${place.table}_users VALUES ('a', 0), ('b', 0), ('c', 0), ('d', 0)`)
  const change = (client: pg.PoolClient, user: string) =>
    client.query(`UPDATE ${place.table}_users SET changes = changes + 1 WHERE id = $1`, [user])
  // Transaction ids in this order; the one between stays open.
  const older = await place.begin()
  await change(older, 'b')
  const between = await place.begin()
  await change(between, 'c')
  const younger = await place.begin()
  await change(younger, 'd')
  await change(younger, 'a')
  await place.outbox.publish(younger, verified, { data: { userId: 'a' }, id: 'first' })
  const waiting = change(older, 'a')
  await end(younger, 'COMMIT')
  await waiting
  await place.outbox.publish(older, verified, { data: { userId: 'a' }, id: 'second' })
  await end(older, 'COMMIT')
  await relays.relay(place.outbox.rows(place.pool))
  assert.deepEqual(await relays.idsOf(2), ['first', 'second'])
  await end(between, 'ROLLBACK')
})

test('with lockKeys the order of a key is that of the commits, with no other lock', async () => {
  await using place = await openPostgresOutbox(server.url, { lockKeys: true })
  await using relays = await openRelays()
  await relays.relay(place.outbox.rows(place.pool))
  const first = await place.begin()
  await place.outbox.publish(first, verified, { data: { userId: 'a' }, id: 'first' })
  const second = await place.begin()
  let isThrough = false
  const waiting = place.outbox.publish(second, verified, { data: { userId: 'a' }, id: 'second' }).then(() => {
    isThrough = true
  })
  await place.commit({ id: 'of another key', userId: 'b' })
  assert.deepEqual(await relays.idsOf(1), ['of another key'])
  assert.equal(isThrough, false)
  await end(first, 'COMMIT')
  await waiting
  await end(second, 'COMMIT')
  assert.deepEqual(await relays.idsOf(3), ['of another key', 'first', 'second'])
})

test('of two relays one is at work; when it stops the other goes on at once, and when it dies after its lease', async () => {
  await using place = await openPostgresOutbox(server.url)
  await using relays = await openRelays()
  const first = await relays.relay(place.outbox.rows(place.pool), { leaseMs: 60_000 })
  await until(() => first.state === 'active')
  const second = await relays.relay(place.outbox.rows(place.pool), { leaseMs: 60_000 })
  await place.commit({ id: '1', userId: 'a' }, { id: '2', userId: 'a' })
  await until(() => first.counts.published === 2)
  assert.equal(second.state, 'standby')
  await first.stop()
  await first.stop()
  assert.equal(first.state, 'stopped')
  await until(() => second.state === 'active')
  await place.commit({ id: '3', userId: 'a' })
  assert.deepEqual(await relays.idsOf(3), ['1', '2', '3'])
  await second.stop()
  // One that died, as the others see it.
  const dead = place.outbox.rows(place.pool)
  assert.ok(await dead.hold('dead', 300))
  assert.ok(!(await dead.hold('another', 300)))
  const third = await relays.relay(place.outbox.rows(place.pool))
  await until(() => third.state === 'active')
  await place.commit({ id: '4', userId: 'a' })
  assert.deepEqual(await relays.idsOf(4), ['1', '2', '3', '4'])
})

test('rows that cannot be published are put aside with the reason, and the others go on', async () => {
  await using place = await openPostgresOutbox(server.url)
  await using relays = await openRelays()
  const insert = (values: string) =>
    place.pool.query(`INSERT INTO ${place.table} (topic, source, type, attributes, data) VALUES (${values})`)
  await insert(`'elsewhere', '/s', 't', '{}', '1'`)
  await insert(`'accounts', '/s', 't', '{"Not one": "x"}', '2'`)
  await insert(`'accounts', '/s', 't', '{"id": "x"}', '3'`)
  await insert(`'accounts', '/s', 't', '{"number": 1}', '4'`)
  await insert(`'accounts', '', 't', '{}', '5'`)
  await insert(`'accounts', '/s', 't', '{}', convert_to(repeat('x', 2000000), 'UTF8')`)
  await place.commit({ id: 'good', userId: 'a' })
  const relay = await relays.relay(place.outbox.rows(place.pool))
  assert.deepEqual(await relays.idsOf(1), ['good'])
  await until(() => relay.counts.refused === 6)
  const { rows } = await place.pool.query<{ refused: string }>(`SELECT refused FROM ${place.table} ORDER BY seq`)
  const reasons = [/"elsewhere"/, /"Not one"/, /"id" has a column/, /"number"/, /no source/, /2000\d+ bytes/]
  for (const [index, reason] of reasons.entries()) assert.match(rows[index]!.refused, reason)
  assert.deepEqual(await relay.lag(), { rows: 0, oldestMs: 0, refused: 6 })
  // An operator mends one.
  await place.pool.query(`UPDATE ${place.table} SET id = 'mended', source = '/s', refused = NULL WHERE source = ''`)
  assert.deepEqual(await relays.idsOf(2), ['good', 'mended'])
})

test('rows are kept for their retention, then pruned; the lag tells what waits', async () => {
  await using place = await openPostgresOutbox(server.url)
  await using relays = await openRelays()
  await place.commit({ id: '1', userId: 'a' }, { id: '2', userId: 'a' })
  const rows = place.outbox.rows(place.pool)
  const lag = await rows.lag(1)
  assert.equal(lag.rows, 1)
  assert.ok(lag.oldestMs > 0)
  const told: number[] = []
  const relay = await relays.relay(rows, { rowRetentionMs: 3_600_000, onLag: (one) => told.push(one.rows) })
  await until(() => relay.counts.published === 2 && told.length > 0)
  await relay.stop()
  assert.deepEqual(told, [0])
  const count = async () => (await place.pool.query(`SELECT FROM ${place.table}`)).rowCount
  assert.equal(await rows.prune(3_600_000, 10), 0)
  assert.equal(await count(), 2)
  assert.equal(await rows.prune(0, 1), 1)
  assert.equal(await rows.prune(0, 10), 1)
  assert.equal(await count(), 0)
})

test('waves are bounded by rows and by bytes, and one larger row goes alone', async () => {
  await using place = await openPostgresOutbox(server.url)
  const rows = place.outbox.rows(place.pool)
  const sizes = [10, 10, 500, 10]
  for (const size of sizes) {
    await place.pool.query(
      `INSERT INTO ${place.table} (topic, source, type, data) VALUES ('accounts', '/s', 't', convert_to(repeat('x', ${size}), 'UTF8'))`,
    )
  }
  const lengths = async (rowsMax: number, bytesMax: number) =>
    (await rows.pending(rowsMax, bytesMax)).map(({ data }) => data.length)
  assert.deepEqual(await lengths(100, 1_000), sizes)
  assert.deepEqual(await lengths(1, 1_000), [10])
  assert.deepEqual(await lengths(100, 100), [10, 10])
  const [first, second] = await rows.pending(2, 100)
  await rows.settle([first!.sequence, second!.sequence], false)
  assert.deepEqual(await lengths(100, 100), [500])
})

test('a relay that sleeps is woken by a notice, and asks for none while it is busy', async () => {
  await using place = await openPostgresOutbox(server.url)
  await using relays = await openRelays()
  const wanted = async () => {
    const { rows } = await place.pool.query(`SELECT wants_notices AS wanted FROM ${place.table}_relay`)
    return rows[0].wanted as boolean
  }
  const listener = () => new pg.Client({ connectionString: server.url })
  const relay = await relays.relay(place.outbox.rows(place.pool, { listener }))
  while (!(await wanted())) await new Promise((resolve) => setTimeout(resolve, 5))
  const ear = listener()
  await ear.connect()
  await ear.query(`LISTEN "${place.table}"`)
  const heard = once(ear, 'notification')
  await place.commit({ id: '1', userId: 'a' })
  await heard
  await until(() => relay.counts.published === 1)
  while (await wanted()) await new Promise((resolve) => setTimeout(resolve, 1))
  await ear.end()
  await relay.stop()
  assert.equal(await wanted(), false)
})

test('behind a pooler in transaction mode all works but notices', async () => {
  await using pooler = await startPgBouncer(server.url)
  await using place = await openPostgresOutbox(pooler.url, { lockKeys: true })
  await using relays = await openRelays()
  await relays.relay(place.outbox.rows(place.pool))
  const ids = Array.from({ length: 60 }, (_, index) => `e-${index}`)
  for (const id of ids) await place.commit({ id, userId: 'a' })
  assert.deepEqual(await relays.idsOf(ids.length), ids)
})

test('a server that is killed and comes back is waited for', async () => {
  await using own = await startPostgres()
  await using place = await openPostgresOutbox(own.url)
  await using relays = await openRelays()
  const relay = await relays.relay(place.outbox.rows(place.pool))
  await place.commit({ id: '1', userId: 'a' })
  await until(() => relay.counts.published === 1)
  await own.kill()
  await until(() => relay.counts.failures > 1)
  await own.restart()
  await place.commit({ id: '2', userId: 'a' })
  const ids = await relays.idsOf(2)
  assert.deepEqual([...new Set(ids)], ['1', '2'])
})

test('a relay stops while the server does not answer', async () => {
  await using own = await startPostgres()
  await using place = await openPostgresOutbox(own.url)
  await using relays = await openRelays()
  const relay = await relays.relay(place.outbox.rows(place.pool), { leaseMs: 300 })
  await until(() => relay.state === 'active')
  await own.kill()
  await relay.stop()
})

test('a pool and a client without a transaction are refused, and so is data that is too large', async () => {
  await using place = await openPostgresOutbox(server.url, { dataBytesMax: 100 })
  const event = { data: { userId: 'a' } }
  await assert.rejects(place.outbox.publish(place.pool, verified, event), /CONFIG_INVALID|this is a pool/)
  const client = await place.pool.connect()
  await assert.rejects(place.outbox.publish(client, verified, event), /in no transaction/)
  await client.query('BEGIN')
  const large = { data: { userId: 'x'.repeat(100) }, key: 'k' }
  await assert.rejects(place.outbox.publish(client, verified, large), { code: 'EVENT_INVALID' })
  await end(client, 'ROLLBACK')
  await assert.rejects(openPostgresOutbox(server.url, { table: 'x"; DROP' }), { code: 'CONFIG_INVALID' })
})

test('the SQL of the page for other languages makes events like any other', async () => {
  await using place = await openPostgresOutbox(server.url)
  await using relays = await openRelays()
  const page = readFileSync(join(import.meta.dirname, '../../../docs/outbox.md'), 'utf8')
  const [, sql] = /```sql\n(INSERT INTO forebay_outbox [^`]*)```/.exec(page)!
  await place.pool.query(sql!.replaceAll('forebay_outbox', place.table))
  await relays.relay(place.outbox.rows(place.pool))
  const [record] = await relays.read(1)
  const { ce_id: id, ce_time: time, ...headers } = headersOf(record!)
  assert.ok(id!.length === 36 && Math.abs(Date.parse(time!) - Date.now()) < 60_000)
  assert.equal(headers.ce_type, 'user_account_verified')
  assert.equal(String(record!.key), headers.ce_partitionkey)
})

test('migrations run at once and again', async () => {
  await using place = await openPostgresOutbox(server.url)
  await Promise.all(Array.from({ length: 6 }, () => place.outbox.migrate(place.pool)))
  assert.match(place.outbox.migration(), /CREATE TABLE IF NOT EXISTS/)
})
