import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '@forebay/broker'
import { openRig } from './support/dispatch-rig.ts'

test('a running task that is cancelled is called off, and nothing more is said of it', async () => {
  await using rig = await openRig({ order: 'key' })
  await rig.hand({ id: 'k1', key: 'k', does: 'hang' }, { id: 'k2', key: 'k' })
  await rig.until('it hangs', () => rig.target.hanging === 1)
  await rig.cancel('k1')
  assert.equal((await rig.resultOf('k2')).end.state, 'succeeded')
  assert.deepEqual(
    rig.results.map((result) => [result.taskId, result.end.state]),
    [
      ['k1', 'cancelled'],
      ['k2', 'succeeded'],
    ],
  )
  assert.deepEqual(rig.callsOf('k'), ['k1', 'k2'])
  while ((await rig.committed())[0] !== 2) await systemClock.sleep(5)
})

test('what waits for capacity, for its key or for its backoff is settled without an attempt when it is cancelled', async () => {
  const retry = { attemptsMax: 9, withinMs: 600_000, backoffMs: 4_000, backoffMaxMs: 4_000 }
  await using rig = await openRig({
    order: 'key',
    concurrency: 1,
    retry: { ...retry, jitter: 'none', on: null, budget: null },
  })
  await rig.hand({ id: 'waits', key: 'w', does: 'fail 9' })
  await rig.until('its backoff', () => rig.notes.some((note) => note.state === 'retrying'))
  await rig.hand(
    { id: 'runs', key: 'r', does: 'hang' },
    { id: 'ready', key: 'a' },
    { id: 'line1', key: 'r' },
    { id: 'line2', key: 'r' },
    { id: 'line3', key: 'r' },
  )
  await rig.until('it hangs', () => rig.target.hanging === 1)
  for (const id of ['waits', 'ready', 'line1', 'line2']) await rig.cancel(id)
  const unfinished = () => rig.dispatcher.unfinished
  while (unfinished() !== 4) await systemClock.sleep(5)
  rig.target.release()
  await rig.resultOf('line3')
  while (unfinished() !== 0) await systemClock.sleep(5)
  assert.deepEqual(
    rig.target.calls.map((call) => call.id),
    ['waits', 'runs', 'line3'],
  )
})

test('a cancellation that comes before its task is remembered, also over a restart', async () => {
  await using rig = await openRig()
  await rig.cancel('a')
  await rig.hand({ id: 'a' }, { id: 'b' })
  await rig.resultOf('b')
  await rig.cancel('c')
  await rig.restart()
  await rig.cancel('d')
  await rig.hand({ id: 'c' }, { id: 'd' }, { id: 'e' })
  await rig.resultOf('e')
  while (rig.dispatcher.unfinished !== 0) await systemClock.sleep(5)
  const ran = rig.target.calls.map((call) => call.id)
  assert.ok(ran.includes('b') && ran.includes('e') && !ran.includes('d') && !ran.includes('c'))
})

test('a cancellation of one life of a task says nothing of the next', async () => {
  await using rig = await openRig()
  await rig.cancel('a', 0)
  await systemClock.sleep(50)
  await rig.hand({ id: 'a', generation: 1 })
  await rig.until('its result', () => rig.results.some((result) => result.generation === 1))
  assert.equal(rig.target.calls.length, 1)
})

test('a parked task that is cancelled is dropped at once, and its key goes on', async () => {
  await using rig = await openRig({ order: 'key' })
  await rig.hand({ id: 'k1', key: 'k', does: 'fail 9' }, { id: 'k2', key: 'k' }, { id: 'late', delayMs: 60_000 })
  await rig.parked(3)
  await rig.cancel('late')
  await rig.parked(2)
  await rig.cancel('k1')
  assert.equal((await rig.resultOf('k2')).end.state, 'succeeded')
  assert.deepEqual(rig.callsOf('k'), ['k1', 'k2'])
  await rig.parked(0)
})

test('a key whose whole line was cancelled runs again', async () => {
  await using rig = await openRig({ order: 'key' })
  await rig.hand({ id: 'k1', key: 'k', does: 'fail 9' }, { id: 'k2', key: 'k' })
  await rig.parked(2)
  await rig.cancel('k2')
  await rig.parked(1)
  await rig.cancel('k1')
  await rig.parked(0)
  await rig.hand({ id: 'k3', key: 'k' }, { id: 'k4', key: 'k' })
  await rig.resultOf('k4')
  assert.deepEqual(rig.callsOf('k'), ['k1', 'k3', 'k4'])
})
