import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '@forebay/broker'
import { DEAD_TOPIC, openRig, RETRIES } from './support/dispatch-rig.ts'

test('a long backoff leaves the log: the position moves on, a note says parked, and the attempts go on counting', async () => {
  await using rig = await openRig()
  await rig.hand({ id: 'a', does: 'fail 2' })
  await rig.parked(1)
  await rig.until('a parked note', () => rig.notes.some((note) => note.state === 'parked'))
  await until(async () => (await rig.committed())[0] === 1)
  const [note] = rig.notes
  assert.deepEqual([note?.state, note?.attempts, note?.fault?.code], ['parked', 1, 'WORKER_FAILED'])
  rig.clock.skip(20_000)
  await rig.called('a', 2)
  await rig.parked(1)
  rig.clock.skip(20_000)
  const result = await rig.resultOf('a')
  assert.deepEqual([result.end.state, result.attempts], ['succeeded', 3])
  await rig.parked(0)
  assert.equal(await rig.metric('forebay_tasks_parked_total'), 2)
})

test('a delayed task begins when its time has come and not before, whether it waits in the window or parked', async () => {
  await using rig = await openRig()
  await rig.hand({ id: 'short', delayMs: 300 }, { id: 'long', delayMs: 60_000 }, { id: 'now' })
  const beganMs = performance.now()
  await rig.resultOf('now')
  await rig.parked(1)
  assert.deepEqual(
    rig.target.calls.map((call) => call.id),
    ['now'],
  )
  await rig.called('short')
  assert.ok(performance.now() - beganMs > 250)
  rig.clock.skip(58_000)
  await systemClock.sleep(50)
  assert.equal(rig.target.calls.length, 2)
  rig.clock.skip(2_000)
  const result = await rig.resultOf('long')
  assert.deepEqual([result.end.state, result.attempts], ['succeeded', 1])
  await rig.parked(0)
})

test('without a parking place a long wait stays in the window and ends as well', async () => {
  await using rig = await openRig({}, { parking: false })
  await rig.hand({ id: 'late', delayMs: 60_000 }, { id: 'again', does: 'fail 1' })
  await rig.called('again')
  await rig.until('its failure', () => rig.notes.some((note) => note.state === 'retrying'))
  rig.clock.skip(60_000)
  assert.equal((await rig.resultOf('late')).attempts, 1)
  assert.equal((await rig.resultOf('again')).attempts, 2)
})

test('a parked task survives a restart with its attempts and its time', async () => {
  await using rig = await openRig()
  await rig.hand({ id: 'a', does: 'fail 1' }, { id: 'b', delayMs: 30_000 })
  await rig.parked(2)
  await rig.restart()
  await systemClock.sleep(50)
  assert.equal(rig.target.calls.length, 1)
  rig.clock.skip(30_000)
  assert.equal((await rig.resultOf('a')).attempts, 2)
  assert.equal((await rig.resultOf('b')).attempts, 1)
  await rig.parked(0)
})

test('a task past its deadline while parked ends expired, without another attempt', async () => {
  await using rig = await openRig()
  await rig.hand({ id: 'a', does: 'fail 9', budgetMs: 30_000 }, { id: 'b', delayMs: 100_000, budgetMs: 25_000 })
  await rig.parked(2)
  rig.clock.skip(19_000)
  rig.target.capacity = 0
  rig.clock.skip(11_500)
  for (const id of ['a', 'b']) assert.equal((await rig.resultOf(id)).end.state, 'expired')
  await rig.parked(0)
  assert.equal(rig.target.calls.length, 1)
})

test('used up attempts end dead, or wait for an operator where the queue says so', async () => {
  await using rig = await openRig({
    onExhausted: 'park',
    retry: { ...RETRIES, attemptsMax: 2, backoffMs: 1, backoffMaxMs: 1 },
  })
  await rig.hand({ id: 'retry', does: 'fail 2' }, { id: 'release', does: 'fail 3' }, { id: 'skip', does: 'fail 9' })
  await rig.parked(3)
  rig.clock.skip(600_000)
  await systemClock.sleep(50)
  assert.equal(rig.target.calls.length, 6)
  for (const id of ['retry', 'release', 'skip'] as const) {
    const row = await rig.parking.find('q', id)
    assert.deepEqual([row?.reason, row?.attempts, row?.dueAtMs], ['exhausted', 2, null])
    assert.equal(await rig.parking.wish('q', id, id), 'kept')
  }
  const retried = await rig.resultOf('retry')
  assert.deepEqual([retried.end.state, retried.attempts], ['succeeded', 3])
  const released = await rig.resultOf('release')
  assert.deepEqual([released.end.state, released.attempts], ['succeeded', 2], 'all attempts again')
  const { end } = await rig.resultOf('skip')
  assert.equal(end.state === 'dead' && end.fault.code, 'TASK_SKIPPED')
  await rig.parked(0)
  assert.equal(await rig.endOf(DEAD_TOPIC), 1)
})

test('a task under which three workers were lost is quarantined, also when it was parked in between', async () => {
  await using rig = await openRig({ retry: { ...RETRIES, attemptsMax: 100 } })
  await rig.hand({ id: 'killer', does: 'lose 100' }, { id: 'unlucky', does: 'lose 2' })
  for (const number of [1, 2]) {
    await rig.called('killer', number)
    await rig.called('unlucky', number)
    await rig.parked(2)
    rig.clock.skip(20_000)
  }
  const { end, attempts } = await rig.resultOf('killer')
  assert.deepEqual([end.state, attempts], ['dead', 3])
  assert.equal(end.state === 'dead' && end.fault.code, 'WORKER_KILLER')
  assert.equal((await rig.resultOf('unlucky')).end.state, 'succeeded')
})

test('the time for retries goes on while a task is parked', async () => {
  await using rig = await openRig({ retry: { ...RETRIES, attemptsMax: 100, withinMs: 50_000 } })
  await rig.hand({ id: 'a', does: 'fail 99' })
  for (const number of [1, 2, 3]) {
    await rig.called('a', number)
    if (number === 3) break
    await rig.parked(1)
    rig.clock.skip(20_000)
  }
  const { end, attempts } = await rig.resultOf('a')
  assert.deepEqual([end.state, attempts], ['dead', 3])
})

test('failures that the queue does not try again end failed at once', async () => {
  await using rig = await openRig({ retry: { ...RETRIES, on: new Set(['WORKER_LOST']) } })
  await rig.hand({ id: 'a', does: 'fail 1' }, { id: 'b', does: 'lose 1' })
  assert.deepEqual([(await rig.resultOf('a')).end.state, (await rig.resultOf('a')).attempts], ['failed', 1])
  await rig.parked(1)
})

test('a task that somebody else wrote to the log keeps its id through its parking', async () => {
  await using rig = await openRig()
  const value = Buffer.from('fail 1')
  await rig.broker.publish([{ topic: rig.queue.topic, partition: 0, key: null, value, headers: [] }])
  await rig.parked(1)
  rig.clock.skip(20_000)
  const result = await rig.resultOf(`${rig.queue.topic}:0:0`)
  assert.deepEqual([result.end.state, result.attempts], ['succeeded', 2])
  await rig.parked(0)
})

test('thousands of delayed tasks that are due together all run once, with few of them in memory', async () => {
  await using rig = await openRig()
  const count = 3_000
  for (let from = 0; from < count; from += 500) {
    await rig.hand(...Array.from({ length: 500 }, (_, index) => ({ id: `d${from + index}`, delayMs: 60_000 })))
  }
  await rig.parked(count)
  assert.equal(rig.dispatcher.unfinished, 0)
  rig.clock.skip(60_000)
  await rig.until('all results', () => rig.results.length === count)
  assert.equal(new Set(rig.target.calls.map((call) => call.id)).size, count)
  assert.equal(rig.target.calls.length, count)
  await rig.parked(0)
})

async function until(look: () => Promise<boolean>): Promise<void> {
  while (!(await look())) await systemClock.sleep(5)
}
