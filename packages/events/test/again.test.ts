import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encoded } from '../../protocol/test/encoded.ts'
import { againTopicOf } from '../src/again/again-topic.ts'
import { openDeadLetters } from '../src/again/dead-letters.ts'
import { replayEvents } from '../src/again/replay.ts'
import { deadTopicOf } from '../src/event-log.ts'
import { DeadError } from '../src/handler-errors.ts'
import { headersOf, openRig, until } from './event-rig.ts'
import { created, EMAIL, verified } from './some-events.ts'

const DEAD = deadTopicOf('accounts', 'mails')
const BY = { by: 'ada' }
const NOBODY_WAITS = { attemptsMax: 1 }

test('a redriven letter comes to its own group alone, as the event that it was, and is closed', async () => {
  await using rig = await openRig()
  let mended = false
  const seen: unknown[] = []
  const others: string[] = []
  const mails = await rig.consume({
    retry: NOBODY_WAITS,
    events: [verified],
    handlers: {
      user_account_verified: (event, { position, redrives }) => {
        if (!mended) throw new Error('no such mailbox')
        seen.push([event, position, redrives])
      },
    },
  })
  const second = await rig.consume({
    group: 'others',
    events: [verified],
    handlers: { user_account_verified: ({ id }) => others.push(id) },
  })
  await rig.producer.publish(verified, { id: 'e', data: { userId: 'u' }, timeMs: 42, extensions: { tenant: 'x' } })
  await until(() => mails.counts.dead === 1 && others.length === 1)
  mended = true
  await using letters = await openDeadLetters({ broker: rig.log, group: 'mails', events: [verified] })
  const { letters: listed } = await letters.list()
  assert.deepEqual(
    listed.map(({ letter, type, event, key, code, redrives }) => [letter, type, event!.id, key, code, redrives]),
    [['accounts/0/0', 'user_account_verified', 'e', 'u', 'WORKER_FAILED', 0]],
  )
  assert.deepEqual((await letters.redrive({ filter: {} }, { ...BY, dryRun: true })).redriven, 1)
  const report = await letters.redrive({ letters: ['accounts/0/0'] }, { ...BY, reason: 'mended' })
  assert.deepEqual(report, { redriven: 1, codes: { WORKER_FAILED: 1 }, refused: {} })
  await until(() => seen.length === 1)
  const event = {
    id: 'e',
    source: '/user-service',
    type: 'user_account_verified',
    version: 1,
    key: 'u',
    timeMs: 42,
    data: { userId: 'u' },
    subject: null,
    traceparent: null,
    tracestate: null,
    extensions: { tenant: 'x' },
  }
  assert.deepEqual(seen, [[event, { topic: 'accounts', partition: 0, offset: 0 }, 1]])
  assert.equal((await letters.list()).total, 0)
  const { state, verdicts, history } = await letters.show('accounts/0/0')
  assert.deepEqual([state, verdicts[0]!.by, verdicts[0]!.reason, history.length], ['redriven', 'ada', 'mended', 1])
  await second.stop()
  assert.deepEqual(others, ['e'])
})

test('one that dies again is a dead letter of its first topic, with how often; the loop guard refuses the fourth time', async () => {
  await using rig = await openRig()
  const mails = await rig.consume({
    events: [verified],
    handlers: {
      user_account_verified: () => {
        throw new DeadError('never')
      },
    },
  })
  await rig.verify('u')
  await using letters = await openDeadLetters({ broker: rig.log, group: 'mails', topics: ['accounts'] })
  for (const redrives of [0, 1, 2, 3]) {
    await until(() => mails.counts.dead === redrives + 1)
    const { letters: open } = await letters.list()
    assert.deepEqual(
      open.map((one) => [one.redrives, one.origin, one.topic]),
      [[redrives, { topic: 'accounts', partition: 0, offset: 0 }, 'accounts']],
    )
    const { redriven, refused } = await letters.redrive({ filter: { code: 'WORKER_REFUSED' } }, BY)
    assert.deepEqual([redriven, refused], redrives < 3 ? [1, {}] : [0, { generations: 1 }])
  }
  const written = (await rig.read(DEAD, 7)).map(headersOf).filter((one) => one['fb-dead-task'] !== undefined)
  for (const one of written) {
    assert.deepEqual(
      [one['fb-dead-task'], one['fb-dead-queue'], one['fb-dead-origin'], one['fb-again']],
      ['accounts:0:0', 'mails.accounts', 'accounts:0:0', undefined],
    )
  }
  assert.equal((await letters.redrive({ filter: {} }, { ...BY, force: true })).redriven, 1)
  await until(() => mails.counts.dead === 5)
})

test('letters are found by type, key, id, code and time, and what is discarded is closed', async () => {
  await using rig = await openRig()
  const mails = await rig.consume({
    events: [created, verified],
    handlers: {
      user_account_created: () => {
        throw new DeadError('never')
      },
      user_account_verified: () => {
        throw new DeadError('never')
      },
    },
  })
  await rig.producer.publish(created, { id: 'c', data: { userId: 'a', email: EMAIL } })
  await rig.verify('a', 'b')
  await rig.log.broker.publish([{ topic: 'accounts', key: null, value: Buffer.from('x'), headers: [] }])
  await until(() => mails.counts.dead === 4)
  await using letters = await openDeadLetters({ broker: rig.log, group: 'mails', events: [created, verified] })
  const ids = async (filter: Parameters<typeof letters.list>[0]) =>
    (await letters.list(filter)).letters.map(({ event }) => event?.id ?? null).toSorted()
  assert.deepEqual(await ids({}), ['a-0', 'b-1', 'c', null])
  assert.deepEqual(await ids({ type: 'user_account_verified' }), ['a-0', 'b-1'])
  assert.deepEqual(await ids({ key: 'a' }), ['a-0', 'c'])
  assert.deepEqual(await ids({ key: 'a', type: 'user_account_created' }), ['c'])
  assert.deepEqual(await ids({ id: 'b-1' }), ['b-1'])
  assert.deepEqual(await ids({ code: 'EVENT_UNDECODABLE' }), [null])
  assert.deepEqual(await ids({ untilMs: 1 }), [])
  assert.deepEqual(await letters.discard({ filter: { key: 'a' } }, { ...BY, dryRun: true }), { discarded: 2 })
  assert.deepEqual(await letters.discard({ filter: { key: 'a' } }, BY), { discarded: 2 })
  assert.deepEqual(await ids({}), ['b-1', null])
  assert.deepEqual(await ids({ state: 'discarded' }), ['a-0', 'c'])
  await assert.rejects(letters.list({ topic: 'elsewhere' }), { code: 'BAD_REQUEST' })
  await assert.rejects(letters.show('accounts/0/99'), { code: 'DEAD_LETTER_NOT_FOUND' })
  await assert.rejects(letters.redrive({ filter: {} }, { ...BY, ratePerSecond: 0 }), { code: 'BAD_REQUEST' })
})

test('a letter is redriven with other data, which must meet its schema', async () => {
  await using rig = await openRig()
  const seen: unknown[] = []
  const mails = await rig.consume({
    events: [verified],
    handlers: { user_account_verified: ({ id, key, data }) => seen.push([id, key, data.userId]) },
  })
  await rig.producer.publishEncoded('accounts', encoded({ id: 'e', key: 'k', bytes: Buffer.from('{"user":1}') }))
  await rig.log.broker.publish([{ topic: 'accounts', key: null, value: Buffer.from('x'), headers: [] }])
  await until(() => mails.counts.dead === 2)
  await using letters = await openDeadLetters({ broker: rig.log, group: 'mails', events: [verified] })
  await assert.rejects(letters.redrive({ filter: { id: 'e' } }, { ...BY, edit: () => Buffer.from('{}') }), {
    code: 'EVENT_INVALID',
  })
  const mend = ({ bytes }: { readonly bytes: Uint8Array }) => {
    const { user } = JSON.parse(Buffer.from(bytes).toString()) as { readonly user: number }
    return Buffer.from(JSON.stringify({ userId: `u-${user}` }))
  }
  const { redriven, refused } = await letters.redrive({ filter: {} }, { ...BY, edit: mend })
  assert.deepEqual([redriven, refused], [1, { 'no-event': 1 }])
  await until(() => seen.length === 1)
  assert.deepEqual(seen, [['e', 'k', 'u-1']])
  const { verdicts } = await letters.show((await letters.list({ state: 'redriven' })).letters[0]!.letter)
  assert.equal(verdicts[0]!.edited, true)
})

test('old events are replayed to one group from a time, in the order of each key', async () => {
  await using rig = await openRig({ partitions: 3 })
  const seen: string[] = []
  const others: string[] = []
  const replays: string[] = []
  const mails = await rig.consume({
    events: [verified],
    handlers: {
      user_account_verified: async ({ id, key }, { redrives }) => {
        await new Promise(setImmediate)
        seen.push(id)
        if (redrives === 0) replays.push(`${key} ${id}`)
      },
    },
  })
  const second = await rig.consume({
    group: 'others',
    events: [verified],
    handlers: { user_account_verified: ({ id }) => others.push(id) },
  })
  await rig.verify('a', 'a', 'b')
  const last = await rig.producer.publish(verified, { id: 'later', data: { userId: 'a' } })
  await rig.producer.publish(created, { id: 'c', data: { userId: 'a', email: EMAIL } })
  await until(() => seen.length === 4 && others.length === 4)
  const replay = { broker: rig.log, group: 'mails', events: [verified], from: 'earliest' } as const
  assert.deepEqual(await replayEvents({ ...replay, dryRun: true }), {
    replayed: 4,
    types: { user_account_verified: 4 },
    tooLarge: 0,
  })
  assert.equal((await replayEvents({ ...replay, keys: ['a'], ratePerSecond: 10_000 })).replayed, 3)
  await until(() => replays.length === 3)
  assert.deepEqual(replays, ['a a-0', 'a a-1', 'a later'])
  assert.equal((await replayEvents({ ...replay, types: ['none'] })).replayed, 0)
  // Times of the log, as it says them of its records.
  const timeMs = await timeOf(rig, last)
  assert.equal((await replayEvents({ ...replay, from: { timeMs: timeMs + 60_000 } })).replayed, 0)
  assert.equal((await replayEvents({ ...replay, to: { timeMs: timeMs - 60_000 } })).replayed, 0)
  assert.equal(
    (await replayEvents({ ...replay, from: { timeMs }, keys: ['a'], dryRun: true })).types.user_account_verified! >= 1,
    true,
  )
  await assert.rejects(replayEvents({ ...replay, signal: AbortSignal.abort(new Error('enough')) }), /enough/)
  await Promise.all([mails.stop(), second.stop()])
  assert.equal(others.length, 4)
})

test('what somebody else wrote into the topic of a group blocks nothing, and nothing of it vanishes', async () => {
  await using rig = await openRig()
  const seen: string[] = []
  const mails = await rig.consume({
    events: [verified],
    handlers: { user_account_verified: ({ id }) => seen.push(id) },
  })
  const topic = againTopicOf('mails')
  const copy = (headers: Record<string, string>, id = 'e') => ({
    topic,
    key: Buffer.from('k'),
    value: Buffer.from('{"userId":"u"}'),
    headers: Object.entries({
      ce_specversion: '1.0',
      ce_id: id,
      ce_source: '/x',
      ce_type: verified.name,
      ...headers,
    }).map(([name, value]) => [name, Buffer.from(value)] as const),
  })
  await rig.log.broker.publish([
    { topic, key: null, value: Buffer.from('x'), headers: [] },
    copy({ 'fb-origin': 'elsewhere:0:7', 'fb-again': '1', ce_type: 'unknown' }),
    copy({ 'fb-origin': 'accounts', 'fb-again': '-1', ce_type: 'unknown' }),
    copy({ 'fb-origin': '', 'fb-again': 'many' }, 'fine'),
  ])
  await until(() => mails.counts.dead === 2 && seen.length === 1)
  assert.deepEqual([seen, mails.counts.skipped], [['fine'], 1])
  const origins = (await rig.read(DEAD, 2)).map((letter) => headersOf(letter)['fb-dead-origin']!)
  assert.ok(origins.includes('elsewhere:0:7'))
  await using letters = await openDeadLetters({ broker: rig.log, group: 'mails', topics: ['accounts'] })
  const names = (await letters.list()).letters.map(({ letter }) => letter)
  assert.deepEqual(names.toSorted(), ['accounts/0/0', 'accounts/0/1'])
  assert.ok(origins.some((origin) => origin.startsWith(`${topic}:`)))
})

async function timeOf(rig: Awaited<ReturnType<typeof openRig>>, at: { partition: number; offset: number }) {
  const listener = await rig.log.broker.listen({ topic: 'accounts', partition: at.partition, from: at.offset })
  for await (const [record] of listener) {
    await listener.close()
    return record!.timestampMs
  }
  throw new Error('It is not there.')
}
