import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '@forebay/broker'
import { openRig, RETRIES } from './support/dispatch-rig.ts'

test('when a task of a key parks, all of its key goes behind it and runs in order when it is done, while others go on', async () => {
  await using rig = await openRig({ order: 'key' })
  await rig.hand(
    { id: 'k1', key: 'k', does: 'fail 1' },
    { id: 'k2', key: 'k' },
    { id: 'o1', key: 'o' },
    { id: 'k3', key: 'k' },
  )
  await rig.parked(3)
  await rig.hand({ id: 'k4', key: 'k' }, { id: 'o2', key: 'o' })
  await rig.parked(4)
  await rig.resultOf('o2')
  assert.deepEqual(rig.callsOf('k'), ['k1'])
  rig.clock.skip(20_000)
  await rig.resultOf('k4')
  assert.deepEqual(rig.callsOf('k'), ['k1', 'k1', 'k2', 'k3', 'k4'])
  await rig.parked(0)
  await rig.hand({ id: 'k5', key: 'k' })
  await rig.resultOf('k5')
  assert.equal(await rig.metric('forebay_tasks_parked_total'), 4, 'the key runs from the log again')
})

test('a head that fails again parks again with its attempts, and nobody overtakes it', async () => {
  await using rig = await openRig({ order: 'key' })
  await rig.hand({ id: 'k1', key: 'k', does: 'fail 3' }, { id: 'k2', key: 'k', does: 'fail 1' }, { id: 'k3', key: 'k' })
  for (const number of [1, 2, 3]) {
    await rig.called('k1', number)
    await rig.until('it is parked', () => rig.notes.some((note) => note.taskId === 'k1' && note.attempts === number))
    rig.clock.skip(20_000)
  }
  await rig.until('it is parked', () => rig.notes.some((note) => note.taskId === 'k2'))
  rig.clock.skip(20_000)
  await rig.resultOf('k3')
  assert.deepEqual(rig.callsOf('k'), ['k1', 'k1', 'k1', 'k1', 'k2', 'k2', 'k3'])
  assert.equal(rig.results.find((result) => result.taskId === 'k1')?.attempts, 4)
  await rig.parked(0)
})

test('an exhausted head halts its key until an operator releases it', async () => {
  const retry = { ...RETRIES, attemptsMax: 1 }
  await using rig = await openRig({ order: 'key', onExhausted: 'park', retry })
  await rig.hand({ id: 'k1', key: 'k', does: 'fail 1' }, { id: 'k2', key: 'k' }, { id: 'o1', key: 'o' })
  await rig.parked(2)
  await rig.resultOf('o1')
  rig.clock.skip(600_000)
  await rig.restart()
  await systemClock.sleep(100)
  assert.deepEqual(rig.callsOf('k'), ['k1'])
  assert.equal(await rig.parking.wish('q', 'k1', 'release'), 'kept')
  await rig.resultOf('k2')
  assert.deepEqual(rig.callsOf('k'), ['k1', 'k1', 'k2'])
})

test('a skipped head ends dead, and its key goes on', async () => {
  const retry = { ...RETRIES, attemptsMax: 1 }
  await using rig = await openRig({ order: 'key', onExhausted: 'park', retry })
  await rig.hand({ id: 'k1', key: 'k', does: 'fail 9' }, { id: 'k2', key: 'k' })
  await rig.parked(2)
  await rig.parking.wish('q', 'k1', 'skip')
  assert.equal((await rig.resultOf('k1')).end.state, 'dead')
  assert.equal((await rig.resultOf('k2')).end.state, 'succeeded')
  assert.deepEqual(rig.callsOf('k'), ['k1', 'k2'])
  await rig.parked(0)
})

test('tasks of a line that expire end without running, and the rest keeps its order', async () => {
  await using rig = await openRig({ order: 'key' })
  await rig.hand(
    { id: 'k1', key: 'k', does: 'fail 1' },
    { id: 'k2', key: 'k', budgetMs: 10_000 },
    { id: 'k3', key: 'k' },
    { id: 'k4', key: 'k', budgetMs: 10_000 },
    { id: 'k5', key: 'k' },
  )
  await rig.parked(5)
  rig.clock.skip(10_000)
  assert.equal((await rig.resultOf('k2')).end.state, 'expired')
  assert.equal((await rig.resultOf('k4')).end.state, 'expired')
  await systemClock.sleep(50)
  assert.deepEqual(rig.callsOf('k'), ['k1'], 'the head still has its time to wait')
  rig.clock.skip(10_000)
  await rig.resultOf('k5')
  assert.deepEqual(rig.callsOf('k'), ['k1', 'k1', 'k3', 'k5'])
})

test('a head that expires lets its key go on', async () => {
  await using rig = await openRig({ order: 'key', retry: { ...RETRIES, attemptsMax: 1 }, onExhausted: 'park' })
  await rig.hand({ id: 'k1', key: 'k', does: 'fail 9', budgetMs: 30_000 }, { id: 'k2', key: 'k' })
  await rig.parked(2)
  rig.clock.skip(30_000)
  assert.equal((await rig.resultOf('k1')).end.state, 'expired')
  assert.equal((await rig.resultOf('k2')).end.state, 'succeeded')
})

test('a delayed task of a key takes its place when it is due, behind what is parked by then', async () => {
  await using rig = await openRig({ order: 'key' })
  await rig.hand({ id: 'late', key: 'k', delayMs: 10_000 }, { id: 'k1', key: 'k' })
  await rig.resultOf('k1')
  await rig.hand({ id: 'k2', key: 'k', does: 'fail 1' }, { id: 'k3', key: 'k' })
  await rig.parked(3)
  rig.clock.skip(10_000)
  await rowIn(rig, 'late', 'behind')
  rig.clock.skip(10_000)
  await rig.resultOf('late')
  assert.deepEqual(rig.callsOf('k'), ['k1', 'k2', 'k2', 'k3', 'late'])
})

test('a line outlives its dispatcher: records that come again change nothing, and the order stays', async () => {
  await using rig = await openRig({ order: 'key' }, { forgetful: true })
  await rig.hand({ id: 'k1', key: 'k', does: 'fail 2' }, { id: 'k2', key: 'k' }, { id: 'k3', key: 'k' })
  await rig.parked(3)
  await rig.crash()
  await rig.hand({ id: 'k4', key: 'k' })
  await rig.parked(4)
  assert.equal((await rig.parking.find('q', 'k1'))?.attempts, 1)
  assert.deepEqual(rig.callsOf('k'), ['k1'], 'the head keeps the time it has to wait')
  rig.clock.skip(20_000)
  await rig.called('k1', 2)
  while ((await rig.parking.find('q', 'k1'))?.attempts !== 2) await systemClock.sleep(5)
  await rig.crash()
  rig.clock.skip(20_000)
  await rig.resultOf('k4')
  assert.deepEqual(rig.callsOf('k'), ['k1', 'k1', 'k1', 'k2', 'k3', 'k4'])
  assert.equal(rig.results.find((result) => result.taskId === 'k1')?.attempts, 3)
})

test('a dispatcher that dies while it runs a line leaves the rest to the next, in order', async () => {
  await using rig = await openRig({ order: 'key' })
  await rig.hand({ id: 'k1', key: 'k', does: 'fail 1' }, { id: 'k2', key: 'k' }, { id: 'k3', key: 'k', does: 'hang' })
  await rig.hand(...Array.from({ length: 250 }, (_, index) => ({ id: `k${index + 4}`, key: 'k' })))
  await rig.parked(253)
  rig.clock.skip(20_000)
  await rig.called('k3')
  await rig.crash()
  const runsOfThird = () => rig.target.calls.filter((call) => call.id === 'k3').length
  await rig.until('it hangs again', () => runsOfThird() === 2 && rig.target.hanging === 1)
  rig.target.release()
  await rig.resultOf('k253')
  const calls = rig.callsOf('k')
  const order = [...new Set(calls)]
  assert.deepEqual(
    order,
    Array.from({ length: 253 }, (_, index) => `k${index + 1}`),
  )
  assertKeyOrder(calls)
  await rig.parked(0)
})

test('ten thousand tasks behind one parked key cost no memory, and other keys go on', async () => {
  await using rig = await openRig({ order: 'key' })
  await rig.hand({ id: 'k0', key: 'k', does: 'fail 1' })
  await rig.parked(1)
  const behind = 10_000
  for (let from = 1; from <= behind; from += 500) {
    const tasks = Array.from({ length: 500 }, (_, index) => ({ id: `k${from + index}`, key: 'k' }))
    await rig.hand(...tasks, { id: `o${from}`, key: 'o' })
  }
  await rig.resultOf(`o${behind - 499}`)
  await rig.parked(behind + 1)
  assert.equal(rig.dispatcher.unfinished, 0)
  rig.clock.skip(20_000)
  const run = 1_500
  let most = 0
  await rig.until('many have run', () => {
    most = Math.max(most, rig.dispatcher.rowsInHand)
    return rig.callsOf('k').length >= run
  })
  assert.ok(most > 0 && most <= 200, `${most} rows were in hand at once`)
  assertKeyOrder(rig.callsOf('k'))
  assert.equal(rig.callsOf('o').length, behind / 500)
})

test('a window full of tasks that wait parks them, so that what is behind them comes', async () => {
  const retry = { ...RETRIES, backoffMs: 4_000, backoffMaxMs: 4_000 }
  await using rig = await openRig({ order: 'key', retry })
  for (let from = 0; from < 2_000; from += 500) {
    const tasks = Array.from({ length: 500 }, (_, index) => ({ id: `w${from + index}`, key: `w${from + index}` }))
    await rig.hand(...tasks.map((one) => ({ ...one, does: 'fail 1' })))
  }
  await rig.hand({ id: 'behind', key: 'b' })
  const beganMs = performance.now()
  await rig.resultOf('behind')
  assert.ok(performance.now() - beganMs < 3_900, 'it did not wait for the backoff of the others')
  assert.ok((await rig.parking.list({ limit: 1 })).rows[0]?.reason === 'blocking')
  rig.clock.skip(4_000)
  await rig.until('all results', () => rig.results.length === 2_001)
  assert.ok(rig.results.every((result) => result.end.state === 'succeeded'))
  await rig.parked(0)
})

test('a running attempt that blocks its window is reported', async () => {
  await using rig = await openRig({ order: 'key' })
  await rig.hand({ id: 'slow', key: 'k', does: 'hang' })
  for (let from = 0; from < 2_000; from += 500) {
    await rig.hand(...Array.from({ length: 500 }, (_, index) => ({ id: `k${from + index}`, key: 'k' })))
  }
  while ((await rig.metric('forebay_window_blocked')) !== 1) await systemClock.sleep(20)
  rig.target.release()
  await rig.until('all results', () => rig.results.length === 2_001)
  while ((await rig.metric('forebay_window_blocked')) !== 0) await systemClock.sleep(20)
})

test('what another has owned by mistake is owned again, and its line goes on', async () => {
  await using rig = await openRig({ order: 'key' })
  await rig.hand({ id: 'k1', key: 'k', does: 'fail 1' }, { id: 'k2', key: 'k' }, { id: 'late', delayMs: 60_000 })
  await rig.parked(3)
  await rig.parking.own('q', 0)
  rig.clock.skip(20_000)
  await rig.resultOf('k2')
  assert.deepEqual(rig.callsOf('k'), ['k1', 'k1', 'k2'])
  rig.clock.skip(40_000)
  await rig.resultOf('late')
  await rig.parked(0)
})

test('parked lines go with their partitions from one dispatcher to the other, and back', async () => {
  const partitions = 4
  await using rig = await openRig({ order: 'key' }, { partitions })
  const keys = Array.from({ length: 40 }, (_, index) => index)
  const place = (key: number) => ({ key: `k${key}`, partition: key % partitions })
  await rig.hand(...keys.map((key) => ({ ...place(key), id: `${key}-0`, does: 'fail 2' })))
  await rig.hand(...keys.map((key) => ({ ...place(key), id: `${key}-1` })))
  await rig.parked(80)
  const other = await rig.another()
  await rig.hand(...keys.map((key) => ({ ...place(key), id: `${key}-2` })))
  await rig.parked(120)
  rig.clock.skip(20_000)
  const calls = () => [...rig.target.calls, ...other.target.calls]
  await rig.until('the second attempts', () => calls().length === 80)
  assert.ok(other.target.calls.length > 0, 'the other one has partitions')
  await rig.until('they are parked', () => rig.notes.filter((note) => note.attempts === 2).length === 40)
  await rig.hand(...keys.map((key) => ({ ...place(key), id: `${key}-3` })))
  await rig.parked(160)
  await other.stop()
  rig.clock.skip(20_000)
  await rig.until('all results', () => rig.results.length === 160)
  assert.ok(rig.results.every((result) => result.end.state === 'succeeded'))
  for (const key of keys) {
    const ids = calls().filter((call) => call.key === `k${key}`)
    assert.deepEqual(
      [...new Set(ids.map((call) => call.id))].sort(),
      [0, 1, 2, 3].map((task) => `${key}-${task}`),
    )
  }
  for (const key of keys)
    assert.deepEqual(
      rig.callsOf(`k${key}`).slice(-3),
      [1, 2, 3].map((task) => `${key}-${task}`),
    )
  await rig.parked(0)
})

async function rowIn(rig: Awaited<ReturnType<typeof openRig>>, taskId: string, reason: string): Promise<void> {
  while ((await rig.parking.find('q', taskId))?.reason !== reason) await systemClock.sleep(5)
}

/** A task that runs again is followed by all that came after it, again or for the first time (O-2). */
function assertKeyOrder(calls: readonly string[]): void {
  let last = Number(calls[0]?.slice(1)) - 1
  for (const id of calls) {
    const number = Number(id.slice(1))
    assert.ok(number <= last + 1, `${id} after ${last}`)
    last = number
  }
}
