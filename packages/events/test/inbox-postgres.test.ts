import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { startPostgres } from '../../../scripts/rig/postgres.ts'
import { postgresInbox } from '../src/inbox/postgres-inbox.ts'

const mails = postgresInbox({ group: 'mails' })
const others = postgresInbox({ group: 'others' })
const server = await startPostgres()
const pool = new pg.Pool({ connectionString: server.url, max: 40 })
after(async () => {
  await pool.end()
  await server[Symbol.asyncDispose]()
})
before(async () => {
  await Promise.all([mails.migrate(pool), others.migrate(pool)])
  await pool.query('CREATE TABLE effects (what text)')
})

async function inTransaction<Result>(
  act: (client: pg.PoolClient) => Promise<Result>,
  begin = 'BEGIN',
): Promise<Result> {
  const client = await pool.connect()
  try {
    await client.query(begin)
    const result = await act(client)
    await client.query('COMMIT')
    return result
  } catch (error) {
    await client.query('ROLLBACK')
    throw error
  } finally {
    client.release()
  }
}

const write = (client: pg.PoolClient, what: string) => client.query('INSERT INTO effects VALUES ($1)', [what])
async function effectsOf(what: string): Promise<number | null> {
  return (await pool.query('SELECT FROM effects WHERE what = $1', [what])).rowCount
}

test('200 deliveries at once make one effect, and each says whether it was the one', async () => {
  const event = { source: '/s', id: 'many' }
  const ran = await Promise.all(
    Array.from({ length: 200 }, () =>
      inTransaction((client) => mails.once(client, event, () => write(client, 'many'))),
    ),
  )
  assert.equal(ran.filter(Boolean).length, 1)
  assert.equal(await effectsOf('many'), 1)
})

test('groups and sources are apart', async () => {
  for (const inbox of [mails, others]) {
    for (const source of ['/s', '/t']) {
      for (const expected of [true, false]) {
        const ran = await inTransaction((client) => inbox.once(client, { source, id: 'apart' }, () => {}))
        assert.equal(ran, expected)
      }
    }
  }
})

test('a crash between the effect and the commit leaves neither; one after it leaves both', async () => {
  const event = { source: '/s', id: 'crash' }
  const client = new pg.Client({ connectionString: server.url })
  client.on('error', () => {})
  await client.connect()
  await client.query('BEGIN')
  assert.ok(await mails.once(client, event, () => client.query(`INSERT INTO effects VALUES ('crash')`)))
  // The next delivery waits for this one's end; the process dies, and with it its connection.
  let isOver = false
  const again = inTransaction((other) => mails.once(other, event, () => write(other, 'crash'))).finally(() => {
    isOver = true
  })
  await inTransaction((other) => others.once(other, event, () => {}))
  assert.equal(isOver, false)
  const { rows } = await client.query('SELECT pg_backend_pid() AS pid')
  await pool.query('SELECT pg_terminate_backend($1)', [rows[0].pid])
  assert.equal(await again, true)
  assert.equal(await effectsOf('crash'), 1)
  // It died before its acknowledgement: delivered once more.
  assert.equal(await inTransaction((other) => mails.once(other, event, () => write(other, 'crash'))), false)
  assert.equal(await effectsOf('crash'), 1)
  await client.end()
})

test('an effect that fails is done at the next delivery', async () => {
  const event = { source: '/s', id: 'fails' }
  const fails = inTransaction((client) =>
    mails.once(client, event, async () => {
      await write(client, 'fails')
      throw new Error('no')
    }),
  )
  await assert.rejects(fails, /no/)
  assert.equal(await inTransaction((client) => mails.once(client, event, () => write(client, 'fails'))), true)
  assert.equal(await effectsOf('fails'), 1)
})

test('at SERIALIZABLE no delivery makes a second effect, and those that fail may be tried again', async () => {
  const event = { source: '/s', id: 'serializable' }
  const attempt = () =>
    inTransaction(
      (client) => mails.once(client, event, () => write(client, 'serializable')),
      'BEGIN ISOLATION LEVEL SERIALIZABLE',
    )
  const outcomes = await Promise.allSettled(Array.from({ length: 30 }, attempt))
  for (const outcome of outcomes) if (outcome.status === 'rejected') assert.equal(outcome.reason.code, '40001')
  assert.equal(outcomes.filter((one) => one.status === 'fulfilled' && one.value).length, 1)
  assert.equal(await attempt(), false)
  assert.equal(await effectsOf('serializable'), 1)
})

test('what is older than the retention is forgotten, of this group alone', async () => {
  const sweeping = postgresInbox({ group: 'sweeping' })
  for (const inbox of [sweeping, others]) {
    await inTransaction((client) => inbox.once(client, { source: '/s', id: 'old' }, () => {}))
  }
  assert.equal(await sweeping.sweep(pool, 3_600_000), 0)
  await pool.query(
    `INSERT INTO forebay_inbox SELECT 'sweeping', '/s', n::text, now() - interval '2 hours' FROM generate_series(1, 12000) AS n`,
  )
  assert.equal(await sweeping.sweep(pool, 3_600_000), 12_000)
  assert.equal(await inTransaction((client) => sweeping.once(client, { source: '/s', id: 'old' }, () => {})), false)
  assert.equal(await sweeping.sweep(pool, 0), 1)
  assert.equal(await inTransaction((client) => sweeping.once(client, { source: '/s', id: 'old' }, () => {})), true)
  assert.equal(await inTransaction((client) => others.once(client, { source: '/s', id: 'old' }, () => {})), false)
})

test('a pool and a client without a transaction are refused', async () => {
  const event = { source: '/s', id: 'refused' }
  await assert.rejects(mails.once(pool, event, assert.fail), { code: 'CONFIG_INVALID' })
  const client = await pool.connect()
  await assert.rejects(mails.once(client, event, assert.fail), { code: 'CONFIG_INVALID' })
  client.release()
  assert.throws(() => postgresInbox({ group: '' }), { code: 'CONFIG_INVALID' })
})
