import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LogRecord, RecordToPublish } from '@forebay/broker'
import fc from 'fast-check'
import { deadRecord } from '../src/dead/dead-record.ts'
import { decodeReported, decodeTask, noteRecord, resultRecord, taskRecord } from '../src/records.ts'
import type { Note, Result, Task } from '../src/task.ts'

const defaults = { queue: 'q', budgetMs: 60_000, lanes: 12 }

const visible = fc
  .string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 30 })
  .filter((text) => text.trim() === text)
const tasks: fc.Arbitrary<Task> = fc.record({
  id: visible,
  queue: fc.constant('q'),
  key: fc.option(fc.string({ unit: 'grapheme', minLength: 1 })),
  payload: fc.oneof(fc.constant(new Uint8Array()), fc.uint8Array({ maxLength: 200 })),
  contentType: visible,
  headers: fc.constantFrom<Task['headers'][]>([], [['traceparent', '00-1-2-01']]).map((one) => one as Task['headers']),
  owner: visible.filter((owner) => owner !== 'log'),
  lane: fc.nat(11),
  acceptedAtMs: fc.nat(4_000_000_000_000),
  budgetMs: fc.nat(1_000_000_000),
  delayMs: fc.nat(1_000_000_000),
  priority: fc.nat(9),
  generation: fc.nat(3),
  attemptsBefore: fc.nat(9),
  blob: fc.constantFrom<Task['blob'][]>(null, { sha256: 'ab'.repeat(32), bytes: 5 }),
})

function asRead(record: RecordToPublish, place: { partition: number; offset: number }): LogRecord {
  return { ...record, ...place, timestampMs: 77, headers: record.headers }
}

test('a task comes back from its record as it went in', () => {
  fc.assert(
    fc.property(tasks, (task) => {
      const record = asRead(taskRecord(task, 'forebay.tasks.q', 3), { partition: 3, offset: 9 })
      // A body that stands in the record goes before one that lies elsewhere.
      const blob = task.payload.length === 0 ? task.blob : null
      assert.deepEqual(decodeTask(record, defaults), { ...task, payload: record.value, blob })
    }),
  )
})

test('a record that another producer wrote is a task with an id from its place', () => {
  const record: LogRecord = {
    topic: 'forebay.tasks.q',
    partition: 14,
    offset: 5,
    timestampMs: 1_000,
    key: Buffer.from('k'),
    value: Buffer.from('hello'),
    headers: [
      ['fb-lane', Buffer.from('999999')],
      ['ce_time', Buffer.from('not a time')],
      ['x', Buffer.from('1')],
    ],
  }
  const task = decodeTask(record, defaults)
  assert.equal(task.id, 'forebay.tasks.q:14:5')
  assert.equal(task.owner, 'log')
  assert.equal(task.lane, 2)
  assert.equal(task.acceptedAtMs, 1_000)
  assert.equal(task.budgetMs, 60_000)
  assert.deepEqual(task.headers, [['x', '1']])
})

test('a foreign record cannot take the id of a task of ours', () => {
  const record: LogRecord = {
    topic: 't',
    partition: 0,
    offset: 1,
    timestampMs: 0,
    key: null,
    value: Buffer.alloc(0),
    headers: [['ce_id', Buffer.from('an-event-of-somebody')]],
  }
  assert.equal(decodeTask(record, defaults).id, 't:0:1')
})

test('a tombstone becomes a task without a payload', () => {
  const record = { topic: 't', partition: 0, offset: 1, timestampMs: 0, key: null, value: null, headers: [] }
  const task = decodeTask(record, defaults)
  assert.equal(task.id, 't:0:1')
  assert.equal(task.payload.length, 0)
})

test('results and notes come back from their records as they went in', () => {
  const common = { taskId: 'id', queue: 'q', owner: 'shop', attempts: 2, generation: 1 }
  const results: Result[] = [
    { ...common, finishedAtMs: 5, end: { state: 'succeeded', payload: Buffer.from([0, 255]), contentType: 'a/b' } },
    { ...common, finishedAtMs: 5, end: { state: 'dead', fault: { code: 'WORKER_FAILED', detail: 'nö' } } },
  ]
  for (const result of results) {
    const record = asRead(resultRecord(result, 4), { partition: 4, offset: 0 })
    assert.deepEqual(decodeReported(record), { kind: 'result', result })
  }
  const note: Note = { ...common, state: 'retrying', atMs: 9, fault: { code: 'WORKER_LOST', detail: 'gone' } }
  assert.deepEqual(decodeReported(asRead(noteRecord(note, 1), { partition: 1, offset: 0 })), { kind: 'note', note })
  const running: Note = { ...common, state: 'running', atMs: 9, fault: null }
  const record = asRead(noteRecord(running, 1), { partition: 1, offset: 0 })
  assert.deepEqual(decodeReported(record), { kind: 'note', note: running })
})

test('whatever stands in the results topic, reading it never throws', () => {
  const names = fc.constantFrom('fb-kind', 'fb-state', 'fb-attempts', 'fb-time', 'content-type', 'x')
  const values = fc.oneof(
    fc.constantFrom('result', 'note', 'succeeded', 'dead', 'retrying', '-1', '1e9').map((text) => Buffer.from(text)),
    fc.uint8Array({ maxLength: 20 }),
  )
  fc.assert(
    fc.property(
      fc.array(fc.tuple(names, values)),
      fc.option(fc.uint8Array()),
      fc.option(fc.uint8Array()),
      (headers, key, value) => {
        const reported = decodeReported({ topic: 't', partition: 0, offset: 0, timestampMs: 1, key, value, headers })
        if (reported?.kind === 'result') assert.ok(Number.isSafeInteger(reported.result.attempts))
      },
    ),
  )
})

test('a dead letter keeps the original bytes, key and headers and says where it came from', () => {
  const record: LogRecord = {
    topic: 'forebay.tasks.q',
    partition: 1,
    offset: 42,
    timestampMs: 0,
    key: Buffer.from('k'),
    value: Buffer.from([1, 2, 3]),
    headers: [
      ['twice', Buffer.from('a')],
      ['twice', Buffer.from('b')],
    ],
  }
  const fault = { code: 'WORKER_FAILED', detail: 'boom' } as const
  const letter = deadRecord({ record, taskId: 'id', queue: 'q', attempts: 5, state: 'dead', fault, atMs: 7 }, 10_000)
  assert.equal(letter.topic, 'forebay.tasks.q.dead')
  assert.equal(letter.key, record.key)
  assert.equal(letter.value, record.value)
  assert.deepEqual(letter.headers.slice(0, 2), record.headers)
  const origin = letter.headers.find(([name]) => name === 'fb-dead-origin')
  assert.equal(String(origin?.[1]), 'forebay.tasks.q:1:42')
})
