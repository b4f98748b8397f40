import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toRecord } from '@forebay/protocol/cloudevents'
import { encoded } from '../../protocol/test/encoded.ts'
import { deadTopicOf } from '../src/event-log.ts'
import { DeadError } from '../src/handler-errors.ts'
import { headersOf, openRig, until } from './event-rig.ts'
import { created, verified } from './some-events.ts'

const DEAD = deadTopicOf('accounts', 'mails')

test('an event whose attempts are used up is a dead letter of its group: bytes, key, headers, cause and every attempt', async () => {
  await using rig = await openRig()
  const handled: string[] = []
  const consumer = await rig.consume({
    events: [verified],
    handlers: {
      user_account_verified: ({ id, key }) => {
        if (key === 'bad') throw new TypeError('no such mailbox')
        handled.push(id)
      },
    },
  })
  await rig.verify('bad', 'bad', 'good')
  const letters = await rig.read(DEAD, 2)
  const headers = headersOf(letters[0]!)
  assert.deepEqual([String(letters[0]!.key), String(letters[0]!.value)], ['bad', '{"userId":"bad"}'])
  const {
    'fb-dead-history': history,
    'fb-dead-time': _time,
    'fb-dead-origin-time': _originTime,
    ce_time: _ceTime,
    ...rest
  } = headers
  assert.deepEqual(rest, {
    ce_specversion: '1.0',
    ce_id: 'bad-0',
    ce_source: '/user-service',
    ce_type: 'user_account_verified',
    ce_dataversion: '1',
    ce_dataschema: 'urn:forebay:event:user_account_verified:1',
    ce_partitionkey: 'bad',
    'content-type': 'application/json',
    'fb-dead-task': 'accounts:0:0',
    'fb-dead-queue': 'mails.accounts',
    'fb-dead-state': 'dead',
    'fb-dead-code': 'WORKER_FAILED',
    'fb-dead-detail': 'TypeError: no such mailbox',
    'fb-dead-attempts': '4',
    'fb-dead-generation': '0',
    'fb-dead-origin': 'accounts:0:0',
  })
  assert.deepEqual(
    JSON.parse(history!).map(({ number, detail }: { number: number; detail: string }) => [number, detail]),
    [1, 2, 3, 4].map((number) => [number, 'TypeError: no such mailbox']),
  )
  assert.equal(headersOf(letters[1]!).ce_id, 'bad-1')
  await until(() => handled.length === 1)
  await consumer.stop()
  assert.deepEqual([consumer.counts.dead, consumer.counts.retried, await rig.committed()], [2, 6, [3]])
})

test('a DeadError, and the FinalError of a worker, give an event up at once', async () => {
  await using rig = await openRig()
  await rig.consume({
    events: [verified],
    handlers: {
      user_account_verified: ({ key }) => {
        if (key === 'dead') throw new DeadError('never')
        throw Object.assign(new Error('never'), { name: 'FinalError' })
      },
    },
  })
  await rig.verify('dead', 'final')
  const letters = (await rig.read(DEAD, 2)).map(headersOf)
  assert.deepEqual(
    letters.map((one) => [one['fb-dead-code'], one['fb-dead-attempts'], one['fb-dead-detail']]).toSorted(),
    [
      ['WORKER_REFUSED', '1', 'DeadError: never'],
      ['WORKER_REFUSED', '1', 'FinalError: never'],
    ],
  )
})

test('events of other types are passed over and counted, or kept where a group asks for that', async () => {
  await using rig = await openRig()
  const seen: string[] = []
  const handlers = { user_account_verified: ({ id }: { readonly id: string }) => seen.push(id) }
  const mails = await rig.consume({ events: [verified], handlers })
  const others = await rig.consume({ events: [verified], handlers, group: 'others', unknown: 'dead' })
  await rig.producer.publish(created, { data: { userId: 'u', email: 'a@example.com' }, id: 'c' })
  await rig.verify('u')
  await until(() => seen.length === 2)
  const [letter] = await rig.read(deadTopicOf('accounts', 'others'), 1)
  assert.deepEqual([headersOf(letter!).ce_id, headersOf(letter!)['fb-dead-code']], ['c', 'EVENT_UNDECODABLE'])
  await Promise.all([mails.stop(), others.stop()])
  assert.deepEqual([mails.counts.skipped, mails.counts.dead], [1, 0])
  assert.deepEqual([others.counts.skipped, others.counts.dead], [0, 1])
  assert.deepEqual(await rig.committed(), [2])
})

test('what cannot be read as an event of its type is a dead letter with the reason, and blocks nothing', async () => {
  await using rig = await openRig()
  const seen: string[] = []
  const consumer = await rig.consume({
    events: [verified],
    handlers: { user_account_verified: ({ id }) => seen.push(id) },
  })
  const hostile = [
    toRecord(encoded({ bytes: Buffer.from('{"userId":7}') }), 'accounts'),
    toRecord(encoded({ bytes: Buffer.from([0xff, 0x00]) }), 'accounts'),
    toRecord(encoded({ version: 9 }), 'accounts'),
    { topic: 'accounts', key: Buffer.from([0xff]), value: Buffer.from('plain text'), headers: [] },
    {
      topic: 'accounts',
      key: null,
      value: Buffer.from('{'),
      headers: [['content-type', Buffer.from('application/cloudevents+json')] as const],
    },
    // What would be a fault of a task is none of an event.
    {
      ...toRecord(encoded({ id: 'fine' }), 'accounts'),
      headers: [
        ...toRecord(encoded({ id: 'fine' }), 'accounts').headers,
        ['fb-budget', Buffer.from('1')] as const,
        ['fb-lane', Buffer.from('x')] as const,
        ['fb-delay', Buffer.from('999999')] as const,
      ],
    },
    toRecord(encoded({ id: 'old', timeMs: 0 }), 'accounts'),
  ]
  await rig.log.broker.publish(hostile)
  await until(() => seen.length === 2)
  assert.deepEqual(seen, ['fine', 'old'])
  const letters = await rig.read(DEAD, 5)
  assert.deepEqual(
    letters.map((letter) => headersOf(letter)['fb-dead-code']),
    Array(5).fill('EVENT_UNDECODABLE'),
  )
  const details = letters.map((letter) => headersOf(letter)['fb-dead-detail'])
  assert.deepEqual(details.toSorted(), [
    'It is no CloudEvent: it has no specversion, id, source, type.',
    'It says that it is a CloudEvent as JSON, and is no JSON.',
    'The data does not meet its schema: /userId must be string.',
    'The data is not JSON.',
    'Version 9 of user_account_verified is not among the events of this group (it knows 1).',
  ])
  for (const letter of letters) {
    const { 'fb-dead-origin': origin } = headersOf(letter)
    const found = hostile[Number(origin!.split(':').at(-1))]!
    assert.deepEqual(
      [letter.value, letter.key],
      [found.value, found.key].map((bytes) => (bytes === null ? null : Buffer.from(bytes))),
    )
  }
  await consumer.stop()
  assert.deepEqual(await rig.committed(), [7])
})
