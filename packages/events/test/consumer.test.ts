import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createConsumer } from '../src/consumer.ts'
import type { Event } from '../src/event.ts'
import { AttemptAborted, RetryError } from '../src/handler-errors.ts'
import { openRig, until } from './event-rig.ts'
import { created, createdV2, EMAIL, verified } from './some-events.ts'

test('each handler gets its events, with what was published and where it lies', async () => {
  await using rig = await openRig()
  const seen: Event[] = []
  const places: unknown[] = []
  await rig.consume({
    events: [created, verified],
    handlers: {
      user_account_created: (event) => seen.push(event),
      user_account_verified: (event, { attempt, position }) => {
        seen.push(event)
        places.push({ attempt, ...position })
      },
    },
  })
  const first = await rig.producer.publish(created, { data: { userId: 'u', email: EMAIL }, timeMs: 42 })
  const second = await rig.producer.publish(verified, { data: { userId: 'u' }, extensions: { tenant: 'x' } })
  await until(() => seen.length === 2)
  assert.deepEqual(seen[0], {
    id: first.id,
    source: '/user-service',
    type: 'user_account_created',
    version: 1,
    key: 'u',
    timeMs: 42,
    data: { userId: 'u', email: EMAIL },
    subject: null,
    traceparent: null,
    tracestate: null,
    extensions: {},
  })
  assert.deepEqual([seen[1]!.id, seen[1]!.extensions], [second.id, { tenant: 'x' }])
  assert.deepEqual(places, [{ attempt: 1, topic: 'accounts', partition: 0, offset: second.offset }])
})

test('versions of an event stand side by side, each read by its own schema', async () => {
  await using rig = await openRig()
  const addresses: string[] = []
  await rig.consume({
    events: [created, createdV2],
    handlers: {
      user_account_created: (event) => {
        addresses.push(event.version === 1 ? event.data.email : event.data.address.email)
        // @ts-expect-error: what version 2 has, version 1 has not
        void event.data.address
      },
    },
  })
  await rig.producer.publish(created, { data: { userId: 'u', email: EMAIL } })
  await rig.producer.publish(createdV2, { data: { userId: 'u', address: { email: 'b@example.com' } } })
  await until(() => addresses.length === 2)
  assert.deepEqual(addresses, [EMAIL, 'b@example.com'])
})

test('a key keeps its order through retries, and a failing event holds up no other key', async () => {
  await using rig = await openRig()
  const log: string[] = []
  const attempts = new Map<string, number>()
  const others = Promise.withResolvers<void>()
  const consumer = await rig.consume({
    events: [verified],
    handlers: {
      user_account_verified: async ({ id, key }, { attempt }) => {
        attempts.set(id, attempt)
        if (key === 'slow' && attempt === 1) throw new Error('not yet')
        // Others get past although this one still waits for its end.
        if (id === 'slow-0') await others.promise
        log.push(id)
        if (log.filter((one) => one.startsWith('fast')).length === 3) others.resolve()
      },
    },
  })
  await rig.verify('slow', 'slow', 'slow', 'fast', 'fast', 'fast')
  await until(() => log.length === 6)
  assert.deepEqual(
    log.filter((id) => id.startsWith('slow')),
    ['slow-0', 'slow-1', 'slow-2'],
  )
  assert.deepEqual(log.slice(0, 3), ['fast-3', 'fast-4', 'fast-5'])
  assert.equal(attempts.get('slow-2'), 2)
  await until(() => consumer.counts.handled === 6)
  assert.equal(consumer.counts.retried, 3)
})

test('many handlers run at once on one partition, and no more than `concurrency`', async () => {
  await using rig = await openRig()
  const open = Promise.withResolvers<void>()
  let running = 0
  let most = 0
  const consumer = await rig.consume({
    concurrency: 8,
    events: [verified],
    handlers: {
      user_account_verified: async () => {
        most = Math.max(most, ++running)
        if (most === 8) setTimeout(open.resolve, 20)
        await open.promise
        running--
      },
    },
  })
  await rig.verify(...Array.from({ length: 40 }, (_, index) => `u${index}`))
  await until(() => consumer.counts.handled === 40)
  assert.equal(most, 8)
})

test('a retry comes no sooner than the handler said', async () => {
  await using rig = await openRig()
  const calledMs: number[] = []
  await rig.consume({
    events: [verified],
    handlers: {
      user_account_verified: () => {
        calledMs.push(performance.now())
        if (calledMs.length === 1) throw new RetryError('busy', { afterMs: 150 })
      },
    },
  })
  await rig.verify('u')
  await until(() => calledMs.length === 2)
  assert.ok(calledMs[1]! - calledMs[0]! >= 149)
})

test('an attempt past its time is called off, and tried again', async () => {
  await using rig = await openRig()
  const reasons: unknown[] = []
  let done = false
  await rig.consume({
    timeoutMs: 30,
    events: [verified],
    handlers: {
      user_account_verified: async (_, { signal, attempt }) => {
        if (attempt === 1) {
          await new Promise((resolve) => signal.addEventListener('abort', resolve))
          reasons.push(signal.reason)
          signal.throwIfAborted()
        }
        done = true
      },
    },
  })
  await rig.verify('u')
  await until(() => done)
  assert.ok(reasons[0] instanceof AttemptAborted)
  assert.equal(reasons[0].why, 'timed-out')
})

test('a handler that ends well although it was called off has done it', async () => {
  await using rig = await openRig()
  let calls = 0
  const consumer = await rig.consume({
    timeoutMs: 20,
    events: [verified],
    handlers: {
      user_account_verified: async (_, { signal }) => {
        calls++
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
      },
    },
  })
  await rig.verify('u')
  await until(() => consumer.counts.handled === 1)
  assert.equal(calls, 1)
})

test('paused it begins no handler; resumed it goes on', async () => {
  await using rig = await openRig()
  const seen: string[] = []
  const consumer = await rig.consume({
    events: [verified],
    handlers: { user_account_verified: ({ id }) => seen.push(id) },
  })
  consumer.pause()
  await rig.verify('u')
  await new Promise((resolve) => setTimeout(resolve, 50))
  assert.deepEqual(seen, [])
  consumer.resume()
  await until(() => seen.length === 1)
})

test('a new group reads from the beginning, and the producer does not know of it', async () => {
  await using rig = await openRig()
  const seen = { mails: [] as string[], others: [] as string[] }
  await rig.consume({ events: [verified], handlers: { user_account_verified: ({ id }) => seen.mails.push(id) } })
  await rig.verify('a', 'b', 'c')
  await until(() => seen.mails.length === 3)
  await rig.consume({
    group: 'others',
    events: [verified],
    handlers: { user_account_verified: ({ id }) => seen.others.push(id) },
  })
  await until(() => seen.others.length === 3)
  assert.deepEqual(seen.others.toSorted(), seen.mails.toSorted())
})

test('stop lets handlers end, and the group goes on behind what they did', async () => {
  await using rig = await openRig()
  const seen: string[] = []
  const begun = Promise.withResolvers<void>()
  const go = Promise.withResolvers<void>()
  const handlers = {
    user_account_verified: async ({ id }: { readonly id: string }) => {
      begun.resolve()
      await go.promise
      seen.push(id)
    },
  }
  const consumer = await rig.consume({ events: [verified], handlers })
  await rig.verify('a')
  await begun.promise
  const stopping = consumer.stop()
  go.resolve()
  assert.deepEqual(await stopping, { left: [] })
  assert.deepEqual(await consumer.stop(), { left: [] })
  assert.deepEqual(await rig.committed(), [1])
  await rig.consume({ events: [verified], handlers })
  await rig.verify('b')
  await until(() => seen.length === 2)
  assert.deepEqual(seen, ['a-0', 'b-0'])
})

test('when the grace is over handlers are called off; what they had comes again, and no attempt is counted for it', async () => {
  await using rig = await openRig()
  const reasons: unknown[] = []
  const begun = Promise.withResolvers<void>()
  const consumer = await rig.consume({
    retry: { attemptsMax: 1 },
    events: [verified],
    handlers: {
      user_account_verified: async (_, { signal }) => {
        begun.resolve()
        await new Promise((resolve) => signal.addEventListener('abort', resolve))
        reasons.push(signal.reason)
        throw signal.reason
      },
    },
  })
  await rig.verify('a')
  await begun.promise
  const { left } = await consumer.stop({ graceMs: 20 })
  assert.deepEqual(left, ['mails.accounts accounts:0:0: attempt 1 was running'])
  assert.equal((reasons[0] as AttemptAborted).why, 'stopping')
  const again: number[] = []
  const next = await rig.consume({
    events: [verified],
    handlers: { user_account_verified: (_, { attempt }) => again.push(attempt) },
  })
  await until(() => again.length === 1)
  assert.deepEqual([again, next.counts.dead], [[1], 0])
})

test('options that cannot be are refused, every fault at once', async () => {
  await using rig = await openRig()
  const handlers = { user_account_verified: () => {} }
  const plain = { broker: rig.log, group: 'mails', events: [verified], handlers }
  const refused = (over: object, ...faults: readonly string[]) =>
    assert.rejects(createConsumer({ ...plain, ...over }), ({ code, message }: Error & { code: string }) => {
      assert.equal(code, 'CONFIG_INVALID')
      for (const fault of faults) assert.ok(message.includes(fault), `${message} lacks ${fault}`)
      return true
    })
  await refused({ group: 'a.b', concurrency: 0, timeoutMs: Number.NaN }, 'group: ', 'concurrency: ', 'timeoutMs: ')
  await refused({ events: [] }, 'events: name one', 'handlers: user_account_verified is not')
  await refused({ handlers: {} }, 'handlers: user_account_verified has none')
  await refused({ events: [verified, { ...verified }] }, 'a version of user_account_verified stands there twice')
  await refused({ onExhausted: 'park' }, 'onExhausted: to park, name a store')
  await refused({ retry: { attemptsMax: 0 } }, 'retry.attemptsMax: ')
  await refused({ group: 'strangers' }, 'no topic accounts.strangers.dead')
})
