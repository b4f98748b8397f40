import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LogRecord, RecordToPublish } from '@forebay/broker'
import fc from 'fast-check'
import {
  ATTEMPT_DETAIL_CHARS_MAX,
  HISTORY_FIRST_MAX,
  HISTORY_LAST_MAX,
  rememberAttempt,
} from '../src/dead/attempt-history.ts'
import { type DeadLetter, deadRecord } from '../src/dead/dead-record.ts'
import { historyOf, type Letter, originalRecord, readLetter } from '../src/dead/letter.ts'
import { OffsetMarks } from '../src/dead/offset-marks.ts'
import { redriveRecords, refusalOf } from '../src/dead/redrive-record.ts'
import { readVerdict, verdictRecord } from '../src/dead/verdict.ts'
import { decodeTask, taskRecord, taskRecordAgain } from '../src/records.ts'
import { type AttemptRecord, PLAIN_TASK, type Task } from '../src/task.ts'
import { queueOptions } from './support/doors-rig.ts'

const ROOM = 1_048_576
const DEFAULTS = { queue: 'orders', budgetMs: 60_000, lanes: 4 }

const bytes = fc.uint8Array({ maxLength: 100 })
const headerName = fc.oneof(
  fc.string({ minLength: 1, maxLength: 20 }),
  fc.constantFrom('fb-dead-task', 'fb-dead-origin', 'fb-dead-tombstone', 'fb-dead-cut', 'fb-kind', 'ce_id', 'fb-owner'),
)
const records: fc.Arbitrary<LogRecord> = fc.record({
  topic: fc.constantFrom('forebay.tasks.orders', 'a:b'),
  partition: fc.nat(11),
  offset: fc.nat(),
  timestampMs: fc.nat(4_000_000_000_000),
  key: fc.option(bytes),
  value: fc.option(bytes),
  headers: fc.array(fc.tuple(headerName, bytes), { maxLength: 8 }),
})

test('whatever was in the log comes back from its dead letter byte for byte', () => {
  fc.assert(
    fc.property(records, (record) => {
      const letter = readLetter(asRead(deadRecord(letterOf(record), ROOM)))
      assert.ok(letter !== null)
      const original = originalRecord(letter)
      assert.deepEqual({ ...original, headers: null }, { ...record, headers: null })
      assert.deepEqual(original.headers, record.headers)
      assert.equal(letter.tombstone, record.value === null)
      assert.deepEqual(letter.cuts, [])
    }),
  )
})

test('a null key and an empty one, a tombstone and an empty value stay what they are', () => {
  for (const key of [null, Buffer.alloc(0)]) {
    for (const value of [null, Buffer.alloc(0)]) {
      const found = readLetter(asRead(deadRecord(letterOf({ ...plainRecord('a'), key, value }), ROOM)))!
      assert.deepEqual([originalRecord(found).key, originalRecord(found).value], [key, value])
    }
  }
})

test('a letter tells of its generation, its last worker and its attempts', () => {
  const history = [attempt(1, 'anna'), attempt(2, 'bert')]
  const letter = read(letterOf(plainRecord('a'), { history, generation: 2, attempts: 2 }))
  assert.equal(letter.generation, 2)
  assert.equal(letter.worker, 'bert')
  assert.deepEqual(historyOf(letter), history)
})

test('of a thousand attempts the first and the last are kept, their details cut', () => {
  let history: AttemptRecord[] | null = null
  for (let number = 1; number <= 1_000; number++) {
    history = rememberAttempt(history, { ...attempt(number, 'w'), detail: 'ä'.repeat(5_000) })
  }
  assert.equal(history!.length, HISTORY_FIRST_MAX + HISTORY_LAST_MAX)
  assert.deepEqual(
    history!.map((one) => one.number),
    [1, 2, 3, 4, 5, ...Array.from({ length: 15 }, (_, index) => 986 + index)],
  )
  assert.equal(history!.at(-1)!.detail.length, ATTEMPT_DETAIL_CHARS_MAX)
})

test('what no log would take a second time loses its history first, then its end, and says so', () => {
  const record = { ...plainRecord('a'), key: Buffer.from('k'), value: Buffer.alloc(10_000, 7) }
  const history = Array.from({ length: 20 }, (_, index) => attempt(index, 'w'))
  const lean = deadRecord(letterOf(record, { history }), 11_500)
  assert.equal(lean.value.length, 10_000)
  assert.deepEqual(historyOf(readLetter(asRead(lean))!), [])

  const cut = deadRecord(letterOf(record, { history }), 10_000)
  const letter = readLetter(asRead(cut))!
  assert.ok(sizeOf(cut) <= 10_000 && cut.value.length > 5_000)
  assert.match(letter.cuts[0]!, /^value sha256:[0-9a-f]{64}:10000$/)
  assert.equal(refusalOf(letter, false, true), 'cut')
  assert.equal(refusalOf(letter, true, false), null, 'another body makes good for it')

  const headers: LogRecord['headers'] = [['x', Buffer.alloc(20_000)]]
  const bare = deadRecord(letterOf({ ...record, headers }), 10_000)
  assert.ok(sizeOf(bare) <= 10_000)
  assert.equal(refusalOf(readLetter(asRead(bare))!, true, true), 'cut', 'nobody knows its owner any more')
})

test('a record that calls itself a verdict is a letter when it dies, and closes nothing', () => {
  const forged: LogRecord['headers'] = [
    ['fb-kind', Buffer.from('verdict')],
    ['fb-verdict', Buffer.from('discarded')],
  ]
  const record = { ...plainRecord('a'), key: Buffer.from('0:0'), headers: forged }
  const dead = asRead(deadRecord(letterOf(record), ROOM), 5)
  assert.equal(readVerdict(dead), null)
  assert.equal(readLetter(dead)!.taskId, 'id')
})

test('a verdict comes back as it was written, and is no letter', () => {
  const letter = read(letterOf(plainRecord('a'), { generation: 1 }))
  const verdict = { kind: 'redriven', letter, by: 'öp', atMs: 9, reason: 'fixed ✓', edited: true } as const
  const record = asRead(verdictRecord(verdict), 7)
  assert.equal(readLetter(record), null)
  assert.deepEqual(readVerdict(record), {
    kind: 'redriven',
    partition: 0,
    letterOffset: 0,
    taskId: 'id',
    generation: 1,
    by: 'öp',
    atMs: 9,
    reason: 'fixed ✓',
    edited: true,
  })
})

test('whatever stands in a dead topic, reading it never throws', () => {
  fc.assert(
    fc.property(records, (record) => {
      readLetter(record)
      readVerdict(record)
    }),
  )
})

test('a redrive keeps id, key, owner, lane and headers, and gives the whole deadline again', () => {
  const task: Task = {
    ...PLAIN_TASK,
    id: 'task-1',
    queue: 'orders',
    key: 'k',
    payload: Buffer.from('body'),
    contentType: 'text/plain',
    headers: [['traceparent', '00-1-2-01']],
    owner: 'shop',
    lane: 3,
    acceptedAtMs: 1_000,
    budgetMs: 5_000,
    delayMs: 4_000,
    attemptsBefore: 3,
    priority: 7,
  }
  const record = asRead(taskRecord(task, 'forebay.tasks.orders', 2))
  const letter = read(letterOf({ ...record, partition: 2 }, { taskId: 'task-1' }))
  const queue = queueOptions('orders', { deadlineMs: 60_000 })
  const again = redriveRecords(letter, null, { queue, lanes: 4, nowMs: 100_000 })
  assert.equal(again.task.partition, 2)
  assert.deepEqual(decodeTask(asRead(again.task), DEFAULTS), {
    ...task,
    generation: 1,
    attemptsBefore: 0,
    delayMs: 0,
    budgetMs: 99_000 + 60_000,
  })
  assert.equal(again.note.partition, 3)
  const edited = redriveRecords(
    letter,
    { payload: Buffer.from('{}'), contentType: 'a/b' },
    { queue, lanes: 4, nowMs: 0 },
  )
  const { payload, contentType, id } = decodeTask(asRead(edited.task), DEFAULTS)
  assert.deepEqual([String(payload), contentType, id], ['{}', 'a/b', 'task-1'])
})

test('a record of another producer keeps its id and its time when it comes back to the log', () => {
  const record = { ...plainRecord('x'), partition: 2, offset: 40, timestampMs: 5_000 }
  const first = decodeTask(record, DEFAULTS)
  assert.equal(first.id, 'forebay.tasks.orders:2:40')
  const again = asRead(taskRecordAgain(record, { attemptsBefore: 2, generation: 0 }), 99, 2)
  const second = decodeTask({ ...again, timestampMs: 9_000 }, DEFAULTS)
  assert.deepEqual(second, { ...first, attemptsBefore: 2 })
  const third = asRead(taskRecordAgain(again, { attemptsBefore: 0, generation: 1 }), 120, 2)
  assert.equal(decodeTask({ ...third, timestampMs: 12_000 }, DEFAULTS).id, first.id)
})

test('each header of ours that says nonsense is told, and nothing else is', () => {
  const wrong: readonly (readonly [string, string])[] = [
    ['fb-lane', '99'],
    ['fb-budget', '-1'],
    ['fb-delay', 'soon'],
    ['fb-priority', '10'],
    ['fb-generation', '1.5'],
    ['fb-attempts', ''],
    ['fb-blob', 'sha256:zz:1'],
  ]
  for (const [name, value] of wrong) {
    const faults: string[] = []
    decodeTask({ ...plainRecord('a'), headers: [[name, Buffer.from(value)]] }, DEFAULTS, faults)
    assert.equal(faults.length, 1, name)
    assert.match(faults[0]!, new RegExp(`header ${name} is ${JSON.stringify(value)}`))
  }
  const faults: string[] = []
  const task: Task = { ...PLAIN_TASK, ...DEFAULTS_OF_A_TASK, delayMs: 5, priority: 9, generation: 2, attemptsBefore: 1 }
  decodeTask(asRead(taskRecord(task, 'forebay.tasks.orders', 0)), DEFAULTS, faults)
  decodeTask({ ...plainRecord('a'), headers: [['ce_time', Buffer.from('whenever')]] }, DEFAULTS, faults)
  assert.deepEqual(faults, [])
})

test('marks stay with their offsets, the first of each', () => {
  const marks = new OffsetMarks()
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(20_000), fc.constantFrom(1 as const, 2 as const))), (made) => {
      const known = new Map<number, number>()
      const fresh = new OffsetMarks()
      for (const [offset, mark] of made) {
        fresh.mark(offset, mark)
        if (!known.has(offset)) known.set(offset, mark)
      }
      for (let offset = 0; offset <= 20_000; offset += 7) assert.equal(fresh.get(offset), known.get(offset) ?? 0)
      for (const [offset, mark] of known) assert.equal(fresh.get(offset), mark)
    }),
    { numRuns: 20 },
  )
  marks.mark(2 ** 40, 2)
  assert.deepEqual([marks.get(2 ** 40), marks.get(2 ** 40 - 1), marks.get(0)], [2, 0, 0])
})

const DEFAULTS_OF_A_TASK = {
  id: 'i',
  queue: 'orders',
  key: null,
  payload: Buffer.alloc(0),
  contentType: 'a/b',
  headers: [],
  owner: 'shop',
  lane: 0,
  acceptedAtMs: 0,
  budgetMs: 1,
}

function plainRecord(value: string): LogRecord {
  const place = { topic: 'forebay.tasks.orders', partition: 1, offset: 2, timestampMs: 3 }
  return { ...place, key: null, value: Buffer.from(value), headers: [] }
}

function letterOf(record: LogRecord, other: Partial<DeadLetter> = {}): DeadLetter {
  const fault = { code: 'WORKER_FAILED', detail: 'boom' } as const
  return { record, taskId: 'id', queue: 'orders', attempts: 5, state: 'dead', fault, atMs: 7, ...other }
}

function read(letter: DeadLetter): Letter {
  return readLetter(asRead(deadRecord(letter, ROOM)))!
}

function attempt(number: number, worker: string): AttemptRecord {
  return { number, beganAtMs: 1, endedAtMs: 2, code: 'WORKER_FAILED', detail: 'boom', worker }
}

function asRead(record: RecordToPublish, offset = 0, partition = record.partition ?? 0): LogRecord {
  return { ...record, partition, offset, timestampMs: 0 }
}

function sizeOf({ key, value, headers }: RecordToPublish): number {
  return (
    (key?.length ?? 0) + value.length + headers.reduce((sum, [name, content]) => sum + name.length + content.length, 0)
  )
}
