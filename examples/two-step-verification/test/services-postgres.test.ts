import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { SILENT_LOG } from '@forebay/server/dispatch'
import pg from 'pg'
import { openPostgresMailLedger } from '../notification-service/postgres-mail-ledger.ts'
import { notificationServiceRules } from './notification-service-rules.ts'
import { openDatabases } from './postgres-databases.ts'
import { until } from './rig.ts'
import { userServiceRules } from './user-service-rules.ts'

const databases = await openDatabases()
after(() => databases[Symbol.asyncDispose]())
userServiceRules(() => databases.create())
notificationServiceRules(() => databases.create())

test('one process is at a mail; when it ends, or its connection does, another may be', async () => {
  const url = await databases.create()
  await using stack = new AsyncDisposableStack()
  const open = async () => {
    const ledger = await openPostgresMailLedger(url, SILENT_LOG)
    stack.defer(() => ledger.close())
    return ledger
  }
  const [one, other] = [await open(), await open()]
  const event = { source: '/user-service', id: 'e-1' }
  const hold = await one.hold(event)
  assert.ok(hold)
  assert.equal(await one.hold(event), null)
  assert.equal(await other.hold(event), null)
  assert.ok(await other.hold({ ...event, id: 'e-2' }))
  await hold.release()
  const second = await other.hold(event)
  assert.ok(second)

  const operator = new pg.Client({ connectionString: url })
  await operator.connect()
  stack.defer(() => operator.end())
  await operator.query(`SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted`)
  const isFree = async () => (await operator.query(`SELECT 1 FROM pg_locks WHERE locktype = 'advisory'`)).rowCount === 0
  await until(isFree)
  const third = await one.hold(event)
  assert.ok(third)
  // What is let go of after its connection was lost is not another's.
  await second.release()
  assert.equal(await other.hold(event), null)
  await third.release()
  assert.ok(await other.hold(event))
})
