import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Consumer } from '../src/consumer.ts'
import type { Event } from '../src/event.ts'
import { deadTopicOf } from '../src/event-log.ts'
import { AttemptAborted, BatchError, DeadError, RetryError } from '../src/handler-errors.ts'
import { headersOf, openRig, until } from './event-rig.ts'
import { created, EMAIL, verified } from './some-events.ts'

const DEAD = deadTopicOf('accounts', 'mails')
const never = new Promise<never>(() => {})

test('events are handled together: as many as are there, up to the largest batch, one of a key, with the place of each', async () => {
  await using rig = await openRig()
  const seen: string[][] = []
  const consumer = await rig.consume({
    events: [verified],
    handlers: {
      user_account_verified: {
        eventsMax: 3,
        lingerMs: 20,
        batch: async (events, { places }) => {
          const named = events.map(({ data }, index) => `${data.userId}-${places[index]!.position.offset}`)
          assert.deepEqual(
            events.map(({ id }) => id),
            named,
          )
          seen.push(named)
        },
      },
    },
  })
  consumer.pause()
  await rig.verify('a', 'b', 'c', 'd', 'a', 'a', 'e')
  consumer.resume()
  await until(() => consumer.counts.handled === 7)
  assert.deepEqual(seen[0], ['a-0', 'b-1', 'c-2'])
  for (const ids of seen) {
    const keys = ids.map((id) => id[0])
    assert.equal(new Set(keys).size, keys.length)
    assert.ok(ids.length <= 3)
  }
  assert.deepEqual(
    seen.flat().filter((id) => id.startsWith('a')),
    ['a-0', 'a-4', 'a-5'],
  )
  assert.ok(seen.length < 7)
  await consumer.stop()
  assert.deepEqual(await rig.committed(), [7])
})

test('a batch that is not full goes when its linger is over, and at once when the consumer stops', async () => {
  await using rig = await openRig()
  const seen: string[] = []
  const handled = (events: readonly Event[]) => seen.push(...events.map(({ id }) => id))
  const quick = await rig.consume({
    events: [verified],
    handlers: { user_account_verified: { batch: handled, lingerMs: 30 } },
  })
  const began = performance.now()
  await rig.verify('a')
  await until(() => seen.length === 1)
  assert.ok(performance.now() - began >= 29)
  await quick.stop()
  const slow = await rig.consume({
    events: [verified],
    handlers: { user_account_verified: { batch: handled, lingerMs: 60_000 } },
  })
  const { id } = await rig.producer.publish(verified, { data: { userId: 'b' } })
  await behind(rig, slow)
  assert.deepEqual(await slow.stop(), { left: [] })
  assert.deepEqual(seen, ['a-0', id])
})

test('a batch is one of the calls that run at once, and goes on filling while it waits for its turn', async () => {
  await using rig = await openRig()
  const gate = Promise.withResolvers<void>()
  const seen: number[] = []
  let running = 0
  const consumer = await rig.consume({
    concurrency: 1,
    events: [created, verified],
    handlers: {
      user_account_created: async () => {
        assert.equal(++running, 1)
        await gate.promise
        running--
      },
      user_account_verified: {
        lingerMs: 0,
        batch: async (events) => {
          assert.equal(++running, 1)
          await new Promise(setImmediate)
          running--
          seen.push(events.length)
        },
      },
    },
  })
  await rig.producer.publish(created, { data: { userId: 'first', email: EMAIL } })
  await until(() => consumer.counts.running === 1)
  await rig.verify('a')
  await behind(rig, consumer)
  await rig.verify('b', 'c')
  await behind(rig, consumer)
  gate.resolve()
  await until(() => consumer.counts.handled === 4)
  assert.deepEqual(seen, [3])
})

test('a batch that throws has done nothing; what is tried again is tried by itself', async () => {
  await using rig = await openRig()
  const calls: string[][] = []
  const consumer = await rig.consume({
    events: [verified],
    handlers: {
      user_account_verified: {
        lingerMs: 20,
        batch: async (events) => {
          calls.push(events.map(({ id }) => id))
          if (events.length > 1 || events[0]!.key === 'bad') throw new Error('one of them cannot be')
        },
      },
    },
  })
  consumer.pause()
  await rig.verify('a', 'bad', 'b')
  consumer.resume()
  await until(() => consumer.counts.handled === 2 && consumer.counts.dead === 1)
  assert.deepEqual(calls[0], ['a-0', 'bad-1', 'b-2'])
  assert.deepEqual(calls.slice(1).toSorted(), [['a-0'], ['b-2'], ['bad-1'], ['bad-1'], ['bad-1']])
  const [letter] = await rig.read(DEAD, 1)
  assert.deepEqual([headersOf(letter!).ce_id, headersOf(letter!)['fb-dead-attempts']], ['bad-1', '4'])
})

test('a BatchError says which failed and how; the others are done', async () => {
  await using rig = await openRig()
  const done: string[] = []
  const attempts: string[] = []
  const consumer = await rig.consume({
    events: [verified],
    handlers: {
      user_account_verified: {
        lingerMs: 20,
        batch: async (events, { places }) => {
          attempts.push(...events.map(({ id }, index) => `${id} ${places[index]!.attempt}`))
          if (events.length === 1) return
          done.push('done')
          throw new BatchError('some of them', [
            { id: 'never-1', error: new DeadError('never') },
            { index: 2, error: new RetryError('later', { afterMs: 5 }) },
          ])
        },
      },
    },
  })
  consumer.pause()
  await rig.verify('a', 'never', 'later', 'b')
  consumer.resume()
  await until(() => consumer.counts.handled === 3 && consumer.counts.dead === 1)
  assert.deepEqual(attempts, ['a-0 1', 'never-1 1', 'later-2 1', 'b-3 1', 'later-2 2'])
  assert.equal(headersOf((await rig.read(DEAD, 1))[0]!)['fb-dead-code'], 'WORKER_REFUSED')
})

test('a BatchError that names what was not there says that all failed', async () => {
  await using rig = await openRig()
  for (const failed of [
    [],
    [{ index: 7, error: null }],
    [{ id: 'nobody', error: null }],
    [{ index: 0.5, error: null }],
  ]) {
    const [one, two] = [`one-${failed.length}`, 'two']
    const attempts: number[] = []
    const consumer = await rig.consume({
      events: [verified],
      handlers: {
        user_account_verified: {
          lingerMs: 20,
          batch: async (events, { places }) => {
            attempts.push(places[0]!.attempt)
            if (events.length > 1) throw new BatchError('which?', failed)
          },
        },
      },
    })
    consumer.pause()
    await rig.verify(one, two)
    consumer.resume()
    await until(() => consumer.counts.handled === 2)
    assert.deepEqual(attempts, [1, 2, 2])
    await consumer.stop()
  }
})

test('a batch past its time is called off; one that is stopped comes again, and so does what was held', async () => {
  await using rig = await openRig()
  const reasons: unknown[] = []
  const hanging = await rig.consume({
    events: [verified],
    retry: { attemptsMax: 1 },
    timeoutMs: 30,
    handlers: {
      user_account_verified: {
        batch: (_, { signal }) =>
          new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => {
              reasons.push(signal.reason)
              reject(signal.reason as Error)
            })
          }),
      },
    },
  })
  await rig.verify('a', 'b')
  await until(() => hanging.counts.dead === 2)
  assert.ok(reasons.every((reason) => reason instanceof AttemptAborted && reason.why === 'timed-out'))
  await hanging.stop()
  const stuck = await rig.consume({
    concurrency: 1,
    events: [verified],
    handlers: { user_account_verified: { batch: () => never, eventsMax: 2, lingerMs: 0 } },
  })
  await rig.verify('a', 'b', 'c')
  await until(() => stuck.counts.running === 1)
  await behind(rig, stuck)
  assert.equal((await stuck.stop({ graceMs: 10 })).left.length, 3)
  const paused = await rig.consume({
    events: [verified],
    handlers: { user_account_verified: { batch: () => {}, lingerMs: 60_000 } },
  })
  await behind(rig, paused)
  paused.pause()
  await paused.stop()
  assert.equal(paused.counts.handled, 0)
  const seen: string[] = []
  const last = await rig.consume({
    events: [verified],
    handlers: { user_account_verified: { batch: (events) => seen.push(...events.map(({ id }) => id)) } },
  })
  await until(() => last.counts.handled === 3)
  assert.deepEqual(seen.toSorted(), ['a-0', 'b-1', 'c-2'])
})

test('batches that cannot be are refused', async () => {
  await using rig = await openRig()
  const start = (handler: object) =>
    rig.consume({ events: [verified], handlers: { user_account_verified: handler as () => void } })
  const handle = () => {}
  await assert.rejects(
    start({ batch: handle, eventsMax: 0, lingerMs: -1 }),
    /eventsMax: .* got 0; .*lingerMs: .* got -1/,
  )
  await assert.rejects(start({ batch: handle, eventsMax: 2_001 }), { code: 'CONFIG_INVALID' })
  await assert.rejects(start({ eventsMax: 5 }), /user_account_verified has none/)
})

/** What is to become of each event, attempt by attempt. */
const fates = fc.array(
  fc.record({
    key: fc.constantFrom('a', 'b', 'c', 'd', 'e', null),
    failures: fc.integer({ min: 0, max: 3 }),
    end: fc.constantFrom('done', 'done', 'done', 'dead', 'exhausted'),
    /** How a call fails in which it is one of those that fail. */
    by: fc.constantFrom('name', 'name', 'index', 'all'),
    turns: fc.integer({ min: 0, max: 2 }),
  }),
  { minLength: 1, maxLength: 60 },
)
const shape = fc.record({
  eventsMax: fc.integer({ min: 1, max: 10 }),
  lingerMs: fc.integer({ min: 0, max: 3 }),
  concurrency: fc.integer({ min: 1, max: 4 }),
  /** The consumer is stopped after so many calls, and another one goes on. */
  stops: fc.array(fc.record({ after: fc.integer({ min: 0, max: 6 }), graceMs: fc.constantFrom(0, 1_000) }), {
    maxLength: 2,
  }),
})

test('under any mix of outcomes and restarts every event is handled or dead, and keys keep their order', async () => {
  await fc.assert(
    fc.asyncProperty(fates, shape, async (given, { eventsMax, lingerMs, concurrency, stops }) => {
      await using rig = await openRig()
      await Promise.all(
        given.map(({ key }, index) => rig.producer.publish(verified, { id: `e-${index}`, key, data: { userId: 'u' } })),
      )
      const failed = new Map<number, number>()
      const done: number[] = []
      const running = new Set<string>()
      const faults: string[] = []
      let calls = 0
      const handle = async (events: readonly Event[]) => {
        calls++
        const indexes = events.map(({ id }) => Number(id.slice(2)))
        const keys = events.flatMap(({ key }) => key ?? [])
        if (events.length > eventsMax) faults.push(`a batch of ${events.length}`)
        if (new Set(keys).size < keys.length || keys.some((key) => running.has(key))) faults.push(`two of ${keys}`)
        for (const key of keys) running.add(key)
        const turns = Math.max(...indexes.map((index) => given[index]!.turns))
        for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate)
        for (const key of keys) running.delete(key)
        const failing = indexes.filter((index) => {
          const { failures, end } = given[index]!
          return end !== 'done' || (failed.get(index) ?? 0) < failures
        })
        const all = failing.some((index) => given[index]!.by === 'all') && indexes.length > 1
        for (const index of indexes) {
          if (all || failing.includes(index)) failed.set(index, (failed.get(index) ?? 0) + 1)
          else done.push(index)
        }
        if (all) throw new Error('all of them')
        if (failing.length === 0) return
        throw new BatchError(
          'some',
          failing.map((index) => {
            const { end, by } = given[index]!
            const error = end === 'dead' ? new DeadError('never') : new Error('not yet')
            return by === 'index' ? { index: indexes.indexOf(index), error } : { id: `e-${index}`, error }
          }),
        )
      }
      const start = () =>
        rig.consume({
          concurrency,
          retry: { attemptsMax: 6, withinMs: 60_000, backoffMs: 1, backoffMaxMs: 2 },
          events: [verified],
          handlers: { user_account_verified: { batch: handle, eventsMax, lingerMs } },
        })
      let consumer = await start()
      for (const { after, graceMs } of stops) {
        const wanted = calls + after
        await until(() => calls >= wanted, 20).catch(() => {})
        await consumer.stop({ graceMs })
        running.clear()
        consumer = await start()
      }
      while ((await rig.committed())[0] !== given.length) await new Promise((resolve) => setTimeout(resolve, 5))
      await consumer.stop()
      const [{ end: count } = { end: 0 }] = await rig.log.broker.inspect({ topics: [DEAD] })
      const letters = count === 0 ? [] : await rig.read(DEAD, count)
      const dead = new Set(letters.map((letter) => Number(headersOf(letter).ce_id!.slice(2))))
      const wanted = (isDone: boolean) => [...given.keys()].filter((index) => (given[index]!.end === 'done') === isDone)
      assert.deepEqual(
        [...dead].toSorted((one, other) => one - other),
        wanted(false),
      )
      assert.deepEqual(
        [...new Set(done)].toSorted((one, other) => one - other),
        wanted(true),
      )
      assert.deepEqual(faults, [])
      for (const key of ['a', 'b', 'c', 'd', 'e']) {
        const ofKey = [...new Set(done)].filter((index) => given[index]!.key === key)
        assert.deepEqual(
          ofKey,
          ofKey.toSorted((one, other) => one - other),
        )
      }
    }),
    { numRuns: process.env.E2E_LONG === '1' ? 60 : 8 },
  )
})

/** Resolves when the consumer has taken in all that was published so far. */
async function behind(rig: Awaited<ReturnType<typeof openRig>>, consumer: Consumer): Promise<void> {
  const { dead } = consumer.counts
  await rig.log.broker.publish([{ topic: 'accounts', key: null, value: Buffer.from('no event'), headers: [] }])
  await until(() => consumer.counts.dead > dead)
}
