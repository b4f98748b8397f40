import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { startKafka } from '../../scripts/rig/kafka.ts'
import { startPostgres } from '../../scripts/rig/postgres.ts'
import { startForebay, startWorker } from '../forebay.ts'
import { readTasks } from '../key-order.ts'
import { openLedger } from '../ledger.ts'

/** A claim counts for 5 s after its last renewal; the rest is asking again, the append and the work, on a busy machine. */
const TAKEN_OVER_WITHIN_MS = 15_000
/** Longer than a claim counts that nobody renews. */
const SLOW_MS = 7_000

test('the key of a gateway that is slow between claim and append stays its own; that of one killed there is taken over in seconds', async (t) => {
  await using kafka = await startKafka()
  await using postgres = await startPostgres()
  const config = { broker: `kafka://${kafka.bootstrap}`, store: postgres.url, queues: { echo: {} } }
  await using dispatcher = await startForebay({ config, roles: ['dispatcher'] })
  await using one = await startForebay({ config, roles: ['gateway'] })
  await using two = await startForebay({ config, roles: ['gateway'] })
  using ledger = openLedger()
  await using worker = startWorker({ server: dispatcher.grpc, queue: 'echo', ledger: ledger.path })
  await worker.line(/worker started/)
  const database = new pg.Client(postgres.url)
  await database.connect()
  await using _ended = { [Symbol.asyncDispose]: () => database.end() }
  const claimed = async (key: string) => {
    for (;;) {
      const { rows } = await database.query('SELECT task_id FROM forebay.reservations WHERE key = $1', [key])
      if (rows.length > 0) return (rows[0] as { task_id: string }).task_id
      await sleep(10)
    }
  }
  const post = async (url: string, key: string, prefer = 'respond-async') => {
    const headers = { 'idempotency-key': key, 'content-type': 'text/plain', prefer }
    const answer = await fetch(`${url}/v1/queues/echo/tasks`, { method: 'POST', body: key, headers })
    const id = answer.headers.get('forebay-task') ?? answer.headers.get('location')?.split('/').at(-1)
    return { status: answer.status, id, body: await answer.text() }
  }
  assert.equal((await post(one.url, 'before-one')).status, 202)
  assert.equal((await post(two.url, 'before-two')).status, 202)

  kafka.pause()
  const slow = post(one.url, 'slow', 'wait=30')
  const slowId = await claimed('slow')
  const slowUntilMs = performance.now() + SLOW_MS
  while (performance.now() < slowUntilMs) {
    assert.equal((await post(two.url, 'slow')).status, 409)
    await sleep(100)
  }
  kafka.resume()
  assert.deepEqual(await slow, { status: 200, id: slowId, body: 'slow' })
  assert.equal((await post(two.url, 'slow')).id, slowId)

  kafka.pause()
  const lost = post(one.url, 'killed').catch(() => null)
  const killedId = await claimed('killed')
  await one.kill9()
  const killedAtMs = performance.now()
  kafka.resume()
  assert.equal(await lost, null)
  let refusals = 0
  let answer = await post(two.url, 'killed', 'wait=30')
  for (; answer.status === 409; answer = await post(two.url, 'killed', 'wait=30')) {
    refusals++
    await sleep(100)
  }
  const tookMs = performance.now() - killedAtMs
  t.diagnostic(`taken over and answered ${Math.round(tookMs)} ms after the kill, after ${refusals} refusals`)
  assert.deepEqual(answer, { status: 200, id: killedId, body: 'killed' })
  assert.ok(refusals > 0, 'nobody could tell at once that it was dead')
  assert.ok(tookMs < TAKEN_OVER_WITHIN_MS, `${tookMs} ms`)

  const slowRuns = ledger.entries().filter(({ taskId }) => taskId === slowId)
  assert.equal(slowRuns.length, 1, 'who kept its claim was not overtaken')
  const tasks = await readTasks(kafka.bootstrap, 'echo')
  assert.deepEqual([tasks.size, tasks.has(slowId), tasks.has(killedId)], [4, true, true], 'one task for each key')
})
