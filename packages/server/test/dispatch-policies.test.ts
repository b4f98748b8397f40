import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '@forebay/broker'
import { openRig, RETRIES } from './support/dispatch-rig.ts'

const SOON = { ...RETRIES, backoffMs: 1, backoffMaxMs: 1 }

test('the rate bounds how many attempts begin', async () => {
  await using rig = await openRig({ rate: { count: 20, perMs: 1_000 } })
  const beganMs = performance.now()
  await rig.hand(...Array.from({ length: 30 }, (_, index) => ({ id: `t${index}` })))
  await rig.until('all results', () => rig.results.length === 30)
  const tookMs = performance.now() - beganMs
  assert.ok(tookMs >= 450, `10 beyond the burst of 20 need half a second, not ${tookMs} ms`)
})

test('higher priorities go first, and flows of one priority take turns', async () => {
  await using rig = await openRig({ concurrency: 1, fairness: { by: { from: 'owner' }, weights: new Map() } })
  await rig.hand({ id: 'first', does: 'hang' })
  await rig.until('it hangs', () => rig.target.hanging === 1)
  await rig.hand(
    { id: 'a1', owner: 'a' },
    { id: 'a2', owner: 'a' },
    { id: 'a3', owner: 'a' },
    { id: 'b1', owner: 'b' },
    { id: 'urgent', owner: 'a', priority: 9 },
  )
  await rig.until('they are here', () => rig.dispatcher.unfinished === 6)
  rig.target.release()
  await rig.until('all results', () => rig.results.length === 6)
  assert.deepEqual(
    rig.target.calls.map((call) => call.id),
    ['first', 'urgent', 'a1', 'b1', 'a2', 'a3'],
  )
})

test('while the breaker is open nothing begins and no attempts are spent; deadlines still hold', async () => {
  const breaker = { failureShare: 0.5, attemptsMin: 10, windowMs: 10_000, openMs: 30_000, probes: 1 }
  await using rig = await openRig({ breaker, concurrency: 5, retry: { ...SOON, attemptsMax: 100 } })
  rig.target.down = true
  const tasks = Array.from({ length: 50 }, (_, index) => ({ id: `t${index}` }))
  await rig.hand(...tasks, { id: 'short', budgetMs: 10_000 })
  await systemClock.sleep(300)
  const spent = rig.target.calls.length
  assert.ok(spent >= 10 && spent <= 15, `${spent} attempts`)
  assert.equal(await rig.metric('forebay_breaker_state'), 2)
  rig.target.down = false
  rig.clock.skip(10_000)
  assert.equal((await rig.resultOf('short')).end.state, 'expired')
  assert.equal(rig.target.calls.length, spent)
  rig.clock.skip(30_000)
  await rig.until('all results', () => rig.results.length === 51)
  assert.equal(await rig.metric('forebay_breaker_state'), 0)
})

test('what fails for its own fault does not open the breaker', async () => {
  const breaker = { failureShare: 0.5, attemptsMin: 5, windowMs: 10_000, openMs: 30_000, probes: 1 }
  await using rig = await openRig({ breaker })
  await rig.hand(...Array.from({ length: 30 }, (_, index) => ({ id: `t${index}`, does: 'refuse' })))
  await rig.until('all results', () => rig.results.length === 30)
  assert.equal(await rig.metric('forebay_breaker_state'), 0)
})

test('retries wait when the budget is spent, and lose no attempt by it', async () => {
  const retry = { ...SOON, attemptsMax: 3, budget: 0.1 }
  await using rig = await openRig({ retry })
  await rig.hand(...Array.from({ length: 100 }, (_, index) => ({ id: `t${index}`, does: 'fail 2' })))
  await rig.until('the first attempts', () => rig.target.calls.filter((call) => call.number === 1).length === 100)
  await systemClock.sleep(200)
  const retries = rig.target.calls.length - 100
  assert.ok(retries > 0 && retries <= 20, `${retries} retries at once`)
  assert.ok((await rig.metric('forebay_retries_throttled_total')) > 0)
  for (let round = 0; round < 40 && rig.results.length < 100; round++) {
    rig.clock.skip(11_000)
    await systemClock.sleep(60)
  }
  await rig.until('all results', () => rig.results.length === 100)
  assert.ok(rig.results.every((result) => result.attempts === 3))
})

test('a key has as many at once as its limit says, where there is no order', async () => {
  await using rig = await openRig({ perKey: { concurrency: 2, rate: null } })
  await rig.hand(...[1, 2, 3, 4].map((number) => ({ id: `k${number}`, key: 'k', does: 'hang' })))
  await rig.hand({ id: 'o1', key: 'o' }, { id: 'none' })
  await rig.resultOf('o1')
  await rig.resultOf('none')
  await rig.until('two hang', () => rig.target.hanging === 2)
  await systemClock.sleep(30)
  assert.deepEqual(rig.callsOf('k'), ['k1', 'k2'])
  rig.target.release()
  await rig.until('two more', () => rig.callsOf('k').length === 4 && rig.target.hanging === 2)
  rig.target.release()
  await rig.until('all results', () => rig.results.length === 6)
})

test('a key begins as often as its rate says, and others do not wait for it', async () => {
  await using rig = await openRig({ order: 'key', perKey: { concurrency: null, rate: { count: 10, perMs: 1_000 } } })
  await rig.hand(...Array.from({ length: 15 }, (_, index) => ({ id: `k${index}`, key: 'k' })))
  await rig.hand(...Array.from({ length: 15 }, (_, index) => ({ id: `o${index}`, key: `o${index}` })))
  const beganMs = performance.now()
  await rig.until('the others', () => rig.results.filter(({ taskId }) => taskId.startsWith('o')).length === 15)
  assert.ok(performance.now() - beganMs < 400)
  await rig.until('all results', () => rig.results.length === 30)
  assert.ok(performance.now() - beganMs > 400, 'five beyond the burst of ten need half a second')
  assert.deepEqual(
    rig.callsOf('k'),
    Array.from({ length: 15 }, (_, index) => `k${index}`),
  )
})

test('a limit of the queue is shared by the partitions that each dispatcher owns', async () => {
  await using rig = await openRig({ concurrency: 8 }, { partitions: 4 })
  const other = await rig.another()
  const tasks = Array.from({ length: 40 }, (_, index) => ({ id: `t${index}`, does: 'hang', partition: index % 4 }))
  await rig.hand(...tasks)
  await rig.until('eight hang', () => rig.target.hanging + other.target.hanging === 8)
  await systemClock.sleep(50)
  assert.deepEqual([rig.target.hanging, other.target.hanging], [4, 4])
  const stopping = other.stop()
  other.target.release()
  await stopping
  await rig.until('all of it falls to the one that is left', () => rig.target.hanging === 8)
  const releasing = setInterval(() => rig.target.release(), 5)
  await rig.until('all results', () => rig.results.length === 40)
  clearInterval(releasing)
})
