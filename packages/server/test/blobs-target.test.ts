import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock, systemRandom } from '@forebay/broker'
import { pino } from 'pino'
import type { BlobStore } from '../src/blobs/blob-store.ts'
import { notBegun, withBlobs } from '../src/blobs/blob-target.ts'
import { BytesGate } from '../src/blobs/bytes-gate.ts'
import { folderBlobs } from '../src/blobs/folder/folder.ts'
import type { Target } from '../src/execute/target.ts'
import type { Attempt, Outcome, Task } from '../src/task.ts'
import { attemptOf as attemptLongAgo } from './execute-fixtures.ts'
import { folder } from './support/blob-server.ts'
import { faultyBlobs } from './support/faulty-blobs.ts'

const ABOVE_BYTES = 1_000

test('what is small passes through untouched, and its attempt is the very same', async (t) => {
  const { target, inner } = await rig(t)
  const attempt = attemptOf()
  const running = target.run(attempt)
  assert.equal(inner.runs[0]!.attempt, attempt)
  const outcome: Outcome = { kind: 'succeeded', payload: Buffer.from('ok'), contentType: 'text/plain' }
  inner.runs[0]!.end(outcome)
  assert.equal(await running, outcome)
})

test('a body on its way takes a place of the capacity, so that no more is handed over than fits', async (t) => {
  const { target, inner, blobs } = await rig(t)
  const ref = await blobs.put(Buffer.alloc(5_000, 'b'))
  inner.capacity = 2
  const running = [target.run(attemptOf({ blob: ref })), target.run(attemptOf({ blob: ref }))]
  assert.equal(target.capacity, 0)
  await inner.handedOver(2)
  assert.equal(target.capacity, 0)
  for (const { attempt, end } of inner.runs) {
    assert.equal(attempt.task.payload.length, 5_000)
    end({ kind: 'timed-out' })
  }
  for (const outcome of await Promise.all(running)) assert.equal(outcome.kind, 'timed-out')
})

test('bodies in memory are bounded: the next one is fetched when an attempt has ended', async (t) => {
  const { target, inner, blobs, bodies } = await rig(t, { bodiesMax: 10_000 })
  const ref = await blobs.put(Buffer.alloc(6_000, 'b'))
  const running = [1, 2, 3].map(() => target.run(attemptOf({ blob: ref })))
  await inner.handedOver(1)
  assert.deepEqual([bodies.bytes, bodies.waiting], [6_000, 2])
  for (let index = 0; index < 3; index++) {
    await inner.handedOver(index + 1)
    assert.equal(bodies.bytes, 6_000)
    inner.runs[index]!.end({ kind: 'timed-out' })
  }
  await Promise.all(running)
  assert.equal(bodies.bytes, 0)
})

test('a body that cannot be got now leaves an attempt that nobody has seen; one that is gone gives the task up', async (t) => {
  const { target, inner, blobs, bodies } = await rig(t)
  const ref = await blobs.put(Buffer.alloc(5_000, 'b'))
  blobs.down = true
  const outcome = await target.run(attemptOf({ blob: ref }))
  assert.ok(notBegun(outcome))
  blobs.down = false
  const gone = await target.run(attemptOf({ blob: { sha256: 'a'.repeat(64), bytes: 5 } }))
  assert.ok(gone.kind === 'failed' && gone.then === 'dead' && gone.code === 'BLOB_MISSING')
  assert.deepEqual([inner.runs.length, bodies.bytes, target.capacity], [0, 0, 100])
})

test('the last place may be gone, or the time, when the body comes: that attempt was none', async (t) => {
  const { target, inner, blobs } = await rig(t)
  const ref = await blobs.put(Buffer.alloc(5_000, 'b'))
  const running = target.run(attemptOf({ blob: ref }))
  inner.capacity = 0
  assert.ok(notBegun(await running))
  inner.capacity = 1
  assert.ok(notBegun(await target.run(attemptOf({ blob: ref, acceptedAtMs: Date.now() - 10, budgetMs: 5 }))))
  assert.equal(inner.runs.length, 0)
})

test('a cancellation reaches an attempt whose body is on its way, and one that runs with it', async (t) => {
  const { target, inner, blobs } = await rig(t)
  const ref = await blobs.put(Buffer.alloc(5_000, 'b'))
  const early = attemptOf({ blob: ref })
  const cancelled = target.run(early)
  target.cancel(early)
  assert.deepEqual(await cancelled, { kind: 'cancelled' })
  assert.equal(inner.runs.length, 0)
  const late = attemptOf({ blob: ref })
  const running = target.run(late)
  await inner.handedOver(1)
  target.cancel(late)
  assert.deepEqual(await running, { kind: 'cancelled' })
  const small = attemptOf()
  const plain = target.run(small)
  target.cancel(small)
  assert.deepEqual(await plain, { kind: 'cancelled' })
})

test('a large answer is kept before the attempt counts as done, however long that takes', async (t) => {
  const { target, inner, blobs } = await rig(t)
  blobs.down = true
  const running = target.run(attemptOf())
  const payload = Buffer.alloc(ABOVE_BYTES + 1, 'a')
  inner.runs[0]!.end({ kind: 'succeeded', payload, contentType: 'text/plain' })
  let done = false
  void running.then(() => {
    done = true
  })
  while (blobs.refused < 3) await systemClock.sleep(5)
  assert.ok(!done)
  blobs.down = false
  const outcome = await running
  assert.ok(outcome.kind === 'succeeded' && outcome.blob !== undefined)
  assert.equal(outcome.payload.length, 0)
  assert.equal(Buffer.compare(await blobs.get(outcome.blob), payload), 0)
})

test('who loses the task, or stops, waits no longer for a place to keep its answer', async (t) => {
  const { target, inner, blobs } = await rig(t)
  blobs.down = true
  const lost = new AbortController()
  const running = [target.run(attemptOf({}, { lost: lost.signal })), target.run(attemptOf())]
  for (const { end } of inner.runs) {
    end({ kind: 'succeeded', payload: Buffer.alloc(ABOVE_BYTES + 1), contentType: 'text/plain' })
  }
  while (blobs.refused < 4) await systemClock.sleep(5)
  lost.abort()
  assert.equal((await running[0]!).kind, 'worker-lost')
  await target.stop(AbortSignal.abort())
  assert.equal((await running[1]!).kind, 'worker-lost')
})

test('without a place for blobs, a task that names one is given up with what to mend', async (t) => {
  const { inner } = await rig(t)
  const parts = { aboveBytes: ABOVE_BYTES, bodies: new BytesGate(1, 1), clock: systemClock, random: systemRandom }
  const target = withBlobs({ ...parts, target: inner, blobs: null, log: pino({ level: 'silent' }) })
  const outcome = await target.run(attemptOf({ blob: { sha256: 'a'.repeat(64), bytes: 5 } }))
  assert.ok(outcome.kind === 'failed' && outcome.then === 'dead' && outcome.code === 'BLOB_MISSING')
  assert.match(outcome.message, /set `blobs\.place`/)
  assert.equal(inner.runs.length, 0)
})

function attemptOf(given: Partial<Task> = {}, over: Partial<Attempt> = {}): Attempt {
  return attemptLongAgo({ acceptedAtMs: Date.now(), ...given }, over)
}

/** A target whose runs the test ends. */
class HeldTarget implements Target {
  capacity = 100
  onCapacity = () => {}
  readonly runs: { attempt: Attempt; end: (outcome: Outcome) => void }[] = []

  run(attempt: Attempt): Promise<Outcome> {
    this.capacity--
    return new Promise((resolve) => this.runs.push({ attempt, end: resolve }))
  }

  cancel(attempt: Attempt): void {
    this.runs.find((run) => run.attempt === attempt)!.end({ kind: 'cancelled' })
  }

  async stop(): Promise<void> {}

  async handedOver(count: number): Promise<void> {
    while (this.runs.length < count) await systemClock.sleep(2)
  }
}

async function rig(t: Parameters<typeof folder>[0], { bodiesMax = 1_000_000 } = {}) {
  const place: BlobStore = folderBlobs({ dir: folder(t), keepMs: 3_600_000 })
  await place.open()
  t.after(() => place.close())
  const blobs = faultyBlobs(place)
  const inner = new HeldTarget()
  const bodies = new BytesGate(bodiesMax, 100)
  const parts = { blobs, bodies, aboveBytes: ABOVE_BYTES, clock: systemClock, random: systemRandom }
  const target = withBlobs({ ...parts, target: inner, log: pino({ level: 'silent' }) })
  return { target, inner, blobs, bodies }
}
