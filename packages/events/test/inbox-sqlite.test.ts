import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { sqliteInbox } from '../src/inbox/sqlite-inbox.ts'

const dir = mkdtempSync(join(tmpdir(), 'forebay-inbox-sqlite-'))
const open = () => new DatabaseSync(join(dir, 'service.db'))
const database = open()
after(() => {
  database.close()
  rmSync(dir, { recursive: true })
})
const mails = sqliteInbox({ group: 'mails' })
const others = sqliteInbox({ group: 'others' })
mails.migrate(database)
others.migrate(database)
database.exec('CREATE TABLE effects (what TEXT)')

const write = (on: DatabaseSync, what: string) => on.prepare('INSERT INTO effects VALUES (?)').run(what)
const effectsOf = (what: string) => database.prepare('SELECT * FROM effects WHERE what = ?').all(what).length

test('200 deliveries make one effect, whichever connection they come by; groups and sources are apart', () => {
  const connections = Array.from({ length: 5 }, open)
  const ran = Array.from({ length: 200 }, (_, index) => {
    const one = connections[index % 5]!
    one.exec('BEGIN IMMEDIATE')
    const isFirst = mails.once(one, { source: '/s', id: 'many' }, () => write(one, 'many'))
    one.exec('COMMIT')
    return isFirst
  })
  assert.deepEqual([ran.filter(Boolean).length, effectsOf('many')], [1, 1])
  database.exec('BEGIN')
  assert.equal(
    others.once(database, { source: '/s', id: 'many' }, () => {}),
    true,
  )
  assert.equal(
    mails.once(database, { source: '/t', id: 'many' }, () => {}),
    true,
  )
  database.exec('COMMIT')
  for (const one of connections) one.close()
})

test('a crash between the effect and the commit leaves neither; an effect that throws is done at the next delivery', () => {
  const event = { source: '/s', id: 'crash' }
  const dies = open()
  dies.exec('BEGIN')
  assert.equal(
    mails.once(dies, event, () => write(dies, 'crash')),
    true,
  )
  dies.close()
  database.exec('BEGIN')
  const fails = () =>
    mails.once(database, event, () => {
      throw new Error('no')
    })
  assert.throws(fails, /no/)
  database.exec('ROLLBACK')
  for (const expected of [true, false]) {
    database.exec('BEGIN')
    assert.equal(
      mails.once(database, event, () => write(database, 'crash')),
      expected,
    )
    database.exec('COMMIT')
  }
  assert.equal(effectsOf('crash'), 1)
})

test('what is older than the retention is forgotten', () => {
  const sweeping = sqliteInbox({ group: 'sweeping' })
  database.exec(`WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 12000)
    INSERT INTO forebay_inbox SELECT 'sweeping', '/s', n, (unixepoch() - 7200) * 1000 FROM n`)
  database.exec('BEGIN')
  sweeping.once(database, { source: '/s', id: 'new' }, () => {})
  database.exec('COMMIT')
  assert.equal(sweeping.sweep(database, 3_600_000), 12_000)
  assert.equal(sweeping.sweep(database, 3_600_000), 0)
  database.exec('BEGIN')
  assert.equal(sweeping.once(database, { source: '/s', id: 'new' }, assert.fail), false)
  database.exec('COMMIT')
})

test('a database without a transaction and an effect to wait for are refused', () => {
  const event = { source: '/s', id: 'refused' }
  assert.throws(() => mails.once(database, event, assert.fail), { code: 'CONFIG_INVALID' })
  database.exec('BEGIN')
  assert.throws(() => mails.once(database, event, async () => {}), { code: 'CONFIG_INVALID' })
  database.exec('ROLLBACK')
})
