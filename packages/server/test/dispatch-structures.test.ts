import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Delivery } from '@forebay/broker'
import fc from 'fast-check'
import { type Entry, entryOfDelivery } from '../src/dispatch/entry.ts'
import { PartitionWindow } from '../src/dispatch/partition-window.ts'
import { nextAttemptInMs } from '../src/dispatch/retry-policy.ts'
import { PLAIN_TASK } from '../src/task.ts'

const policy = {
  attemptsMax: 5,
  withinMs: 600_000,
  backoffMs: 200,
  backoffMaxMs: 30_000,
  jitter: 'full' as const,
  on: null,
  budget: null,
}
const always = (unit: number) => ({ fill: () => {}, unit: () => unit })

test('a retry never comes after the attempts, the time for retries or the budget are used up', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 10 }),
      fc.integer({ min: 0, max: 700_000 }),
      fc.integer({ min: 0, max: 700_000 }),
      fc.option(fc.integer({ min: 0, max: 700_000 }), { nil: undefined }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (attempts, elapsedMs, budgetLeftMs, retryAfterMs, unit) => {
        const delayMs = nextAttemptInMs(policy, { attempts, elapsedMs, budgetLeftMs, retryAfterMs }, always(unit))
        if (attempts >= policy.attemptsMax) assert.equal(delayMs, null)
        if (delayMs === null) return
        assert.ok(elapsedMs + delayMs <= policy.withinMs)
        assert.ok(delayMs < budgetLeftMs)
        assert.ok(delayMs >= (retryAfterMs ?? 0))
      },
    ),
  )
})

test('without jitter the backoff is the step itself, on top of what the other side asked for', () => {
  const even = { ...policy, jitter: 'none' as const }
  const question = { elapsedMs: 0, budgetLeftMs: 600_000, retryAfterMs: undefined }
  assert.equal(nextAttemptInMs(even, { ...question, attempts: 1 }, always(0.1)), 200)
  assert.equal(nextAttemptInMs(even, { ...question, attempts: 3 }, always(0.1)), 800)
  assert.equal(nextAttemptInMs(even, { ...question, attempts: 3, retryAfterMs: 50 }, always(0.1)), 850)
})

test('the backoff doubles up to its limit, with full jitter', () => {
  const question = { elapsedMs: 0, budgetLeftMs: 600_000, retryAfterMs: undefined }
  const patient = { ...policy, attemptsMax: 100 }
  assert.equal(nextAttemptInMs(patient, { ...question, attempts: 1 }, always(0.5)), 100)
  assert.equal(nextAttemptInMs(patient, { ...question, attempts: 2 }, always(0.5)), 200)
  assert.equal(nextAttemptInMs(patient, { ...question, attempts: 50 }, always(0.5)), 15_000)
  assert.equal(nextAttemptInMs(patient, { ...question, attempts: 3 }, always(0)), 0)
})

test('with order by key, the tasks of one key run one at a time in log order while other keys go on', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('a', 'b', 'c', null), { minLength: 1, maxLength: 200 }),
      fc.infiniteStream(fc.nat()),
      (keys, choices) => {
        const window = new PartitionWindow(0, new AbortController().signal, 1)
        const entries = keys.map((key, offset) => entryOf(window, key, offset))
        const runnable = entries.filter((entry) => window.enter(entry))
        const finished: Entry[] = []
        while (runnable.length > 0) {
          for (const key of ['a', 'b', 'c']) {
            assert.ok(runnable.filter((entry) => entry.task.key === key).length <= 1, 'one at a time')
          }
          const [entry] = runnable.splice(choices.next().value! % runnable.length, 1)
          finished.push(entry!)
          const next = window.leave(entry!)
          if (next !== undefined) runnable.push(next)
        }
        assert.equal(finished.length, entries.length)
        for (const key of ['a', 'b', 'c']) assert.equal(window.has(key), false)
        for (const key of ['a', 'b', 'c']) {
          const offsets = finished.filter((entry) => entry.task.key === key).map((entry) => entry.record.offset)
          assert.deepEqual(
            offsets,
            offsets.toSorted((one, other) => one - other),
          )
        }
      },
    ),
    { numRuns: 200 },
  )
})

function entryOf(window: PartitionWindow, key: string | null, offset: number): Entry {
  const record = { topic: 't', partition: 0, offset, timestampMs: 0, key: null, value: new Uint8Array(0), headers: [] }
  const delivery: Delivery = { record, lost: window.lost, settle: () => {} }
  const task = {
    id: String(offset),
    queue: 'q',
    key,
    payload: record.value,
    contentType: 'text/plain',
    headers: [],
    owner: 'anonymous',
    lane: 0,
    acceptedAtMs: 0,
    budgetMs: 1,
    ...PLAIN_TASK,
  }
  return entryOfDelivery(window, delivery, task, '')
}
