import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Broker, type Clock, type Listener, systemClock, type Timer } from '@forebay/broker'
import type { Store, StoredTask } from '../src/store/store.ts'
import type { Result } from '../src/task.ts'
import { RESULTS_TOPIC } from '../src/topics.ts'
import {
  bodyOf,
  folder,
  openLog,
  openStore,
  publish,
  quietTelemetry,
  recorderOn,
  result,
} from './support/results-rig.ts'

const WITHIN_MS = 10_000

test('every partition reaches the store; results are heard in log order before, and told after they are durable', async (t) => {
  const broker = await openLog(t)
  const store = await openStore(t)
  const recorder = recorderOn(t, broker, store)
  const heard: string[] = []
  const lookups: Promise<boolean>[] = []
  recorder.onHeard = (partition, { taskId }) => heard.push(`${partition}/${taskId}`)
  recorder.onStored = (entry) => {
    if (entry.kind !== 'result') return
    const { taskId } = entry.result
    lookups.push(store.get(taskId).then((task) => task?.taskId === taskId))
  }
  await recorder.start()
  for (const lane of [0, 1, 2]) {
    const end = await publish(broker, lane, result(`a${lane}`, 'x'), result(`b${lane}`, 'y'))
    assert.ok(await recorder.appliedTo(lane, end, WITHIN_MS))
  }
  assert.deepEqual(heard, ['0/a0', '0/b0', '1/a1', '1/b1', '2/a2', '2/b2'])
  assert.deepEqual(await Promise.all(lookups), Array(6).fill(true))
  assert.deepEqual(recorder.problems(), [])
})

test('a recorder goes on where its store stands; what ended meanwhile is stored and not told as heard', async (t) => {
  const broker = await openLog(t)
  const store = await openStore(t)
  const first = recorderOn(t, broker, store)
  await first.start()
  await first.appliedTo(0, await publish(broker, 0, result('before', 'x')), WITHIN_MS)
  await first.stop()
  const end = await publish(broker, 0, result('meanwhile', 'y'))
  const applied: number[] = []
  const second = recorderOn(
    t,
    broker,
    watching(store, (next, entries) => applied.push(entries, next)),
  )
  const heard: string[] = []
  second.onHeard = (_, { taskId }) => heard.push(taskId)
  await second.start()
  assert.equal(second.startedAt(0), end)
  assert.ok(await second.appliedTo(0, end, WITHIN_MS))
  await second.appliedTo(0, await publish(broker, 0, result('after', 'z')), WITHIN_MS)
  assert.deepEqual(heard, ['after'])
  assert.deepEqual(applied, [1, end, 1, end + 1])
  assert.notEqual(await store.get('meanwhile'), null)
})

test('records that are none of ours are counted and passed over, duplicates are counted', async (t) => {
  const broker = await openLog(t)
  const store = await openStore(t)
  const telemetry = quietTelemetry()
  const recorder = recorderOn(t, broker, store, telemetry)
  await recorder.start()
  const foreign = { topic: RESULTS_TOPIC, partition: 1, value: Buffer.from('?'), headers: [] }
  await broker.publish([
    { ...foreign, key: null },
    { ...foreign, key: Buffer.from('t'), headers: [['fb-kind', Buffer.from('result')]] },
  ])
  await recorder.appliedTo(1, await publish(broker, 1, result('t', 'first'), result('t', 'second')), WITHIN_MS)
  assert.equal((await telemetry.metrics.undecodable.get()).values[0]?.value, 2)
  assert.equal((await telemetry.metrics.duplicateResults.get()).values[0]?.value, 1)
  assert.equal((await store.positions(RESULTS_TOPIC)).get(1), 4)
})

test('a store that fails is tried again until it takes everything, in order, and the trouble is told', async (t) => {
  const broker = await openLog(t)
  const store = await openStore(t)
  let failures = 5
  let problems: readonly string[] = []
  const tried: number[] = []
  const failing = replacing(store, async (batch) => {
    tried.push(...batch.entries.map((one) => one.offset))
    if (failures-- <= 0) return store.apply(batch)
    if (failures < 4) problems = recorder.problems()
    throw new Error('no room')
  })
  const recorder = recorderOn(t, broker, failing)
  await recorder.start()
  const first = publish(broker, 0, result('t', 'first'))
  const end = await first.then(() => publish(broker, 0, result('t', 'second'), result('u', 'x')))
  assert.ok(await recorder.appliedTo(0, end, WITHIN_MS))
  assert.equal(tried.filter((offset) => offset === 0).length, 6)
  assert.deepEqual([...tried].sort(), tried, 'nothing was passed over')
  assert.deepEqual(problems, ['the store does not take the results of partition 0'])
  assert.deepEqual(recorder.problems(), [])
  const task = await store.get('t')
  assert.equal(task?.status.state === 'succeeded' && Buffer.from(task.status.payload).toString(), 'first')
})

test('a reading that breaks is taken up where it broke, each result heard once', async (t) => {
  const broker = await openLog(t)
  const store = await openStore(t)
  const recorder = recorderOn(t, breakingAfterEachBatch(broker), store)
  const heard: string[] = []
  recorder.onHeard = (_, { taskId }) => heard.push(taskId)
  await recorder.start()
  const names = Array.from({ length: 20 }, (_, n) => `t${n}`)
  for (const name of names) {
    assert.ok(await recorder.appliedTo(0, await publish(broker, 0, result(name, 'x')), WITHIN_MS))
  }
  assert.deepEqual(heard, names)
})

test('what is read again before the store has it does not count as applied', async (t) => {
  const broker = await openLog(t)
  const store = await openStore(t)
  const held = Promise.withResolvers<void>()
  const slow = replacing(store, async (batch) => {
    await held.promise
    return store.apply(batch)
  })
  const listened: number[] = []
  const reopened = Promise.withResolvers<void>()
  const recorder = recorderOn(
    t,
    breakingAfterEachBatch(broker, (partition, from) => {
      if (partition === 0 && listened.push(from) === 3) reopened.resolve()
    }),
    slow,
  )
  await recorder.start()
  await publish(broker, 0, result('t', 'x'))
  const end = await publish(broker, 0, result('u', 'x'))
  await reopened.promise
  assert.equal(listened.at(-1), end)
  assert.equal(await recorder.appliedTo(0, 1, 20), false)
  assert.equal(await store.get('t'), null)
  held.resolve()
  assert.ok(await recorder.appliedTo(0, end, WITHIN_MS))
  assert.notEqual(await store.get('u'), null)
})

test('a store that has read more than the log holds is refused, naming the way out', async (t) => {
  const store = await openStore(t)
  const recorder = recorderOn(t, await openLog(t), store)
  await store.apply({ topic: RESULTS_TOPIC, partition: 2, from: null, next: 17, entries: [] })
  await assert.rejects(recorder.start(), { code: 'DATA_CORRUPT', message: /partition 2 .* up to 17, .* ends at 0/ })
})

test('until the store has what ended before the start, the recorder says how far behind it is', async (t) => {
  const broker = await openLog(t)
  const store = await openStore(t)
  const end = await publish(broker, 1, result('a', 'x'), result('b', 'x'))
  const held = Promise.withResolvers<void>()
  const recorder = recorderOn(
    t,
    broker,
    replacing(store, async (batch) => {
      await held.promise
      return store.apply(batch)
    }),
  )
  await recorder.start()
  assert.deepEqual(recorder.problems(), ['2 results of partition 1 from before the start are not stored yet'])
  held.resolve()
  await recorder.appliedTo(1, end, WITHIN_MS)
  assert.deepEqual(recorder.problems(), [])
})

test('stopped at any moment and started again, nothing is missing', async (t) => {
  const dir = folder(t)
  const broker = await openLog(t)
  let published = 0
  for (let round = 0; round < 5; round++) {
    const store = await openStore(t, dir)
    const recorder = recorderOn(t, broker, store)
    await recorder.start()
    const publishing = Promise.all(
      Array.from({ length: 200 }, () => publish(broker, published % 3, result(`t${published++}`, 'x'))),
    )
    if (round % 2 === 0) await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual(await recorder.stop(), { left: [] })
    await Promise.all([recorder.stop(), recorder.stopped, publishing])
    await store.close()
  }
  const store = await openStore(t, dir)
  const recorder = recorderOn(t, broker, store)
  await recorder.start()
  for (const { partition, end } of await broker.inspect({ topics: [RESULTS_TOPIC] })) {
    assert.ok(await recorder.appliedTo(partition, end, WITHIN_MS))
  }
  const found = await Promise.all(Array.from({ length: published }, (_, n) => store.get(`t${n}`)))
  assert.equal(found.filter((task) => task !== null).length, 1_000)
})

test('a store that is wiped under a running recorder is filled again, each result heard once, none flipped', async (t) => {
  const broker = await openLog(t)
  const store = await openStore(t)
  const recorder = recorderOn(t, broker, store)
  const heard: string[] = []
  recorder.onHeard = (_, { taskId, end }) => heard.push(`${taskId} ${bodyOf({ end } as Result)}`)
  await publish(broker, 0, result('before', 'x'))
  await recorder.start()
  await publish(broker, 0, result('t', 'first'), result('t', 'second'))
  const ends = new Map([[1, await publish(broker, 1, result('elsewhere', 'y'))]])
  assert.ok(await recorder.appliedTo(1, ends.get(1)!, WITHIN_MS))
  await store.rebuild(RESULTS_TOPIC)
  assert.equal(await store.get('t'), null)
  ends.set(0, await publish(broker, 0, result('t', 'third'), result('after', 'z')))
  ends.set(1, await publish(broker, 1, result('elsewhere', 'late')))
  await standsAt(store, ends)
  const names = ['before', 't', 'after', 'elsewhere']
  const found = await Promise.all(names.map(async (taskId) => bodyOfStored(await store.get(taskId))))
  assert.deepEqual(found, ['x', 'first', 'z', 'y'])
  const lane0 = ['t first', 't second', 't third', 'after z']
  assert.deepEqual(
    heard.filter((one) => !one.startsWith('elsewhere')),
    lane0,
  )
  assert.deepEqual(
    heard.filter((one) => one.startsWith('elsewhere')),
    ['elsewhere y', 'elsewhere late'],
  )
  for (const [lane, end] of ends) assert.ok(await recorder.appliedTo(lane, end, WITHIN_MS))
  assert.deepEqual(recorder.problems(), [])
})

test('a store that goes back to an older copy is read to from there', async (t) => {
  const broker = await openLog(t)
  const dir = folder(t)
  const copy = await openStore(t, dir)
  const fresh = await openStore(t)
  let current = fresh
  const recorder = recorderOn(
    t,
    broker,
    switching(() => current),
  )
  const heard: string[] = []
  recorder.onHeard = (_, { taskId }) => heard.push(taskId)
  await recorder.start()
  const names = Array.from({ length: 30 }, (_, n) => `t${n}`)
  const batches = names.slice(0, 10).map((name) => result(name, 'x'))
  const middle = await publish(broker, 0, ...batches)
  assert.ok(await recorder.appliedTo(0, middle, WITHIN_MS))
  const entries = batches.map((one, offset) => ({ kind: 'result' as const, offset, result: one }))
  await copy.apply({ topic: RESULTS_TOPIC, partition: 0, from: null, next: middle, entries })
  const end = await publish(broker, 0, ...names.slice(10, 20).map((name) => result(name, 'x')))
  assert.ok(await recorder.appliedTo(0, end, WITHIN_MS))
  current = copy
  await standsAt(copy, new Map([[0, await publish(broker, 0, ...names.slice(20).map((name) => result(name, 'x')))]]))
  const found = await Promise.all(names.map((name) => copy.get(name)))
  assert.ok(found.every((one) => one !== null))
  assert.deepEqual(heard, names)
})

test('a store that is wiped while nothing new comes is filled again as well', async (t) => {
  const broker = await openLog(t)
  const store = await openStore(t)
  const clock = new HurriedClock()
  const recorder = recorderOn(t, broker, store, quietTelemetry(), clock)
  await recorder.start()
  const end = await publish(broker, 2, result('t', 'x'))
  assert.ok(await recorder.appliedTo(2, end, WITHIN_MS))
  await store.rebuild(RESULTS_TOPIC)
  await standsAt(store, new Map([[2, end]]))
  assert.equal(bodyOfStored(await store.get('t')), 'x')
})

test('stopped while it reads again, a recorder ends', async (t) => {
  const broker = await openLog(t)
  const store = await openStore(t)
  const asked = Promise.withResolvers<void>()
  const refusing = replacing(store, async () => {
    asked.resolve()
    return { kind: 'behind', position: null }
  })
  const recorder = recorderOn(t, broker, refusing)
  await recorder.start()
  await publish(broker, 0, result('t', 'x'))
  await asked.promise
  assert.deepEqual(await recorder.stop(), { left: [] })
})

/** Resolves when the store has come so far in each partition. */
async function standsAt(store: Store, ends: ReadonlyMap<number, number>): Promise<void> {
  for (;;) {
    const positions = await store.positions(RESULTS_TOPIC)
    if ([...ends].every(([partition, end]) => (positions.get(partition) ?? 0) >= end)) return
    await sleep(5)
  }
}

function bodyOfStored(task: StoredTask | null): string | null {
  return task?.status.state === 'succeeded' ? Buffer.from(task.status.payload).toString() : null
}

/** Its timers come a hundred times sooner. */
class HurriedClock implements Clock {
  readonly wallMs = systemClock.wallMs
  readonly monotonicMs = systemClock.monotonicMs
  readonly sleep = systemClock.sleep

  timer(delayMs: number, callback: () => void): Timer {
    return systemClock.timer(delayMs / 100, callback)
  }
}

function switching(current: () => Store): Store {
  return new Proxy({} as Store, {
    get: (_, name) => {
      const store = current()
      const member = Reflect.get(store, name)
      return typeof member === 'function' ? member.bind(store) : member
    },
  })
}

function replacing(store: Store, apply: Store['apply']): Store {
  return {
    capabilities: store.capabilities,
    parking: store.parking,
    outputs: store.outputs,
    callbacks: store.callbacks,
    open: () => store.open(),
    positions: (topic) => store.positions(topic),
    apply,
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

function watching(store: Store, applied: (next: number, entries: number) => void): Store {
  return replacing(store, (batch) => {
    applied(batch.next, batch.entries.length)
    return store.apply(batch)
  })
}

/** The real log, but each listener fails after its first batch. */
function breakingAfterEachBatch(
  broker: Broker,
  onListen: (partition: number, from: number) => void = () => {},
): Broker {
  return {
    capabilities: broker.capabilities,
    open: (request) => broker.open(request),
    publish: (records) => broker.publish(records),
    consume: (request) => broker.consume(request),
    inspect: (request) => broker.inspect(request),
    close: () => broker.close(),
    async listen(request): Promise<Listener> {
      const listener = await broker.listen(request)
      onListen(request.partition, listener.from)
      return {
        from: listener.from,
        close: () => listener.close(),
        async *[Symbol.asyncIterator]() {
          for await (const records of listener) {
            yield records
            throw new Error('The connection broke.')
          }
        },
      }
    },
  }
}
