import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type Broker, partitionOf } from '@forebay/broker'
import { BARRIER_MAX_MS } from '../src/reply/read-barrier.ts'
import { ManualClock } from '../src/store/contract/manual-clock.ts'
import type { Store } from '../src/store/store.ts'
import {
  bodyOf,
  type Gateway,
  idOf,
  LANES,
  openGateway,
  openLog,
  openStore,
  publish,
  result,
} from './support/results-rig.ts'

const LONG_MS = 30_000

test('a lane is one partition, the same for the same instance', async (t) => {
  const { replies } = await open(t)
  assert.equal(replies.lane, partitionOf(Buffer.from('one'), LANES))
})

test('who expects a result gets the first in the log, whether it asks before or after it was heard', async (t) => {
  const { broker, replies, recorder, waiting } = await open(t)
  const early = replies.expect('early')!
  const late = replies.expect('late')!
  assert.equal(await waiting(), 2)
  const asked = early.result(LONG_MS)
  const results = [
    result('early', 'first'),
    result('early', 'second'),
    result('late', 'first'),
    result('late', 'second'),
  ]
  const end = await publish(broker, replies.lane, ...results)
  assert.equal(bodyOf(await asked), 'first')
  await recorder.appliedTo(replies.lane, end, LONG_MS)
  assert.equal(bodyOf(await late.result(LONG_MS)), 'first')
  assert.equal(await waiting(), 0)
})

test('an answer does not wait for the store', async (t) => {
  const held = Promise.withResolvers<void>()
  const { broker, replies } = await open(t, {}, (store) => slowed(store, () => held.promise))
  const answer = replies.expect('t')!.result(LONG_MS)
  await publish(broker, replies.lane, result('t', 'done'))
  assert.equal(bodyOf(await answer), 'done')
  held.resolve()
})

test('a wait ends with null when its time is over, its caller is gone, or it is given up; each frees its place', async (t) => {
  const clock = new ManualClock()
  const { broker, replies, waiting } = await open(t, { clock, waitersMax: 4 })
  const timed = replies.expect('timed')!.result(1_000)
  const caller = new AbortController()
  const aborted = replies.expect('aborted')!.result(5_000, caller.signal)
  replies.expect('cancelled')!.cancel()
  assert.equal(await replies.expect('gone')!.result(5_000, AbortSignal.abort()), null)
  clock.advance(1_000)
  caller.abort()
  assert.deepEqual(await Promise.all([timed, aborted]), [null, null])
  assert.equal(clock.pending, 0)
  assert.equal(await waiting(), 0)
  const next = replies.expect('next')!.result(LONG_MS)
  await publish(broker, replies.lane, result('timed', 'x'), result('aborted', 'x'), result('next', 'here'))
  assert.equal(bodyOf(await next), 'here')
})

test('no more wait than may, of either kind; a place that gets free is given again', async (t) => {
  const { replies, waiting } = await open(t, { waitersMax: 3 })
  const first = replies.expect('a')!
  assert.notEqual(replies.expect('b'), null)
  const caller = new AbortController()
  const reading = replies.read(idOf('c', 0), LONG_MS, caller.signal)
  await until(async () => (await waiting()) === 3)
  assert.equal(replies.expect('d'), null)
  assert.equal(await replies.read(idOf('d', 0), LONG_MS), null, 'answered at once')
  first.cancel()
  first.cancel()
  assert.notEqual(replies.expect('d'), null)
  assert.equal(replies.expect('e'), null)
  caller.abort(new Error('gone'))
  await assert.rejects(reading, /gone/)
  assert.equal(await waiting(), 2)
})

test('a stop answers all who wait with not yet', async (t) => {
  const { replies, waiting } = await open(t)
  const expected = replies.expect('t')!.result(LONG_MS)
  const read = replies.read(idOf('t', 0), LONG_MS)
  await until(async () => (await waiting()) === 2)
  replies.stop()
  assert.equal(await expected, null)
  assert.equal(await read, null)
  assert.equal(replies.expect('u'), null)
  replies.stop()
})

test('a reader learns how a task stands, waits for its end, and is told it whole', async (t) => {
  const { broker, replies, waiting } = await open(t)
  assert.equal(await replies.read(idOf('t', 1), 0), null)
  const readings = [replies.read(idOf('t', 1), LONG_MS), replies.read(idOf('t', 1), LONG_MS)]
  await until(async () => (await waiting()) === 2)
  const ended = result('t', 'done')
  await publish(broker, 1, ended)
  const expected = {
    taskId: 't',
    queue: 'orders',
    owner: 'anna',
    attempts: 1,
    generation: 0,
    state: 'succeeded',
    finishedAtMs: ended.finishedAtMs,
    fault: null,
    contentType: 'text/plain',
  }
  for (const view of await Promise.all([...readings, replies.read(idOf('t', 1), 0)])) {
    const { payload, ...others } = view!
    assert.deepEqual(others, expected)
    assert.equal(Buffer.from(payload!).toString(), 'done')
  }
  assert.equal(await waiting(), 0)
})

test('on another gateway with a slow store nobody reads pending after somebody was told the end', async (t) => {
  const broker = await openLog(t)
  const one = await openGateway(t, { broker, store: await openStore(t), instance: 'one' })
  const slow = slowed(await openStore(t), () => new Promise((resolve) => setTimeout(resolve, 15)))
  const other = await openGateway(t, { broker, store: slow, instance: 'other' })
  const { lane } = one.replies
  for (let round = 0; round < 15; round++) {
    const told = Array.from({ length: 10 }, (_, n) => {
      const taskId = `t${round}-${n}`
      return one.replies
        .expect(taskId)!
        .result(LONG_MS)
        .then(() => other.replies.read(idOf(taskId, lane), 0))
    })
    void publish(broker, lane, ...Array.from({ length: 10 }, (_, n) => result(`t${round}-${n}`, 'x')))
    for (const view of await Promise.all(told)) assert.equal(view?.state, 'succeeded')
  }
})

test('a reader whose store cannot catch up in time is told so, not that the task is pending; ends it knows are told', async (t) => {
  const clock = new ManualClock()
  let held: Promise<void> = Promise.resolve()
  const release = Promise.withResolvers<void>()
  const { broker, replies, recorder } = await open(t, { clock }, (store) => slowed(store, () => held))
  await recorder.appliedTo(0, await publish(broker, 0, result('known', 'x')), LONG_MS)
  held = release.promise
  await publish(broker, 0, result('unknown', 'x'))
  const reading = replies.read(idOf('unknown', 0), 0)
  const refused = assert.rejects(reading, { code: 'STORE_BEHIND' })
  await until(() => clock.pending > 0)
  clock.advance(BARRIER_MAX_MS)
  await refused
  assert.equal((await replies.read(idOf('known', 0), 0))?.state, 'succeeded')
  assert.equal(clock.pending, 0)
  release.resolve()
  assert.equal((await replies.read(idOf('unknown', 0), 0))?.state, 'succeeded')
})

test('readers share requests to the log, and none takes an answer that was asked for before it came', async (t) => {
  const log = await openLog(t)
  const begun: number[] = []
  let gate = Promise.withResolvers<void>()
  const broker: Broker = {
    capabilities: log.capabilities,
    open: (request) => log.open(request),
    publish: (records) => log.publish(records),
    consume: (request) => log.consume(request),
    listen: (request) => log.listen(request),
    close: () => log.close(),
    async inspect(request) {
      const states = await log.inspect(request)
      begun.push(states[0]!.end)
      await gate.promise
      return states
    },
  }
  gate.resolve()
  const store = await openStore(t)
  const { replies } = await openGateway(t, { broker, store })
  begun.length = 0
  gate = Promise.withResolvers<void>()
  const early = replies.read(idOf('t', 0), 0)
  await until(() => begun.length === 1)
  await publish(log, 0, result('t', 'x'))
  const later = Array.from({ length: 50 }, () => replies.read(idOf('t', 0), 0))
  // Reads are answered in turn: after this one, theirs have gone on to the log.
  await store.get('t')
  await new Promise((resolve) => setImmediate(resolve))
  gate.resolve()
  await early
  for (const view of await Promise.all(later)) assert.equal(view?.state, 'succeeded')
  assert.ok(begun.length <= 2, `${begun.length} requests for 51 readers`)
})

async function open(
  t: TestContext,
  options: { readonly waitersMax?: number; readonly clock?: ManualClock } = {},
  wrap: (store: Store) => Store = (store) => store,
): Promise<Gateway & { readonly broker: Broker }> {
  const broker = await openLog(t)
  return { broker, ...(await openGateway(t, { broker, store: wrap(await openStore(t)), ...options })) }
}

/** The real store, whose every apply waits first. */
function slowed(store: Store, before: () => Promise<void>): Store {
  return {
    capabilities: store.capabilities,
    parking: store.parking,
    outputs: store.outputs,
    callbacks: store.callbacks,
    open: () => store.open(),
    positions: (topic) => store.positions(topic),
    async apply(batch) {
      await before()
      return store.apply(batch)
    },
    get: (taskId) => store.get(taskId),
    rebuild: (topic) => store.rebuild(topic),
    reserve: (claim) => store.reserve(claim),
    confirm: (claim) => store.confirm(claim),
    release: (claim) => store.release(claim),
    doubt: (claim) => store.doubt(claim),
    renew: (claim) => store.renew(claim),
    close: () => store.close(),
  }
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 1))
}
