import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { systemClock } from '@forebay/broker'
import { CancelReason } from '@forebay/protocol'
import { status } from '@grpc/grpc-js'
import { SESSION_OUTPUT_BYTES_MAX } from '../src/execute/session-output.ts'
import {
  CHUNK_BYTES_MAX,
  CHUNKS_BYTES_MAX,
  CHUNKS_MAX,
  CHUNKS_WINDOW_BYTES,
  PROGRESS_MESSAGE_BYTES_MAX,
} from '../src/task.ts'
import { attemptOf, capacityOf, HeardOutput, RawWorker, serveWorkers } from './execute-fixtures.ts'

/** A server, a worker, and one attempt that the worker holds. */
async function heldAttempt(over: Parameters<typeof serveWorkers>[0] = {}) {
  const served = await serveWorkers(over)
  const worker = RawWorker.hello(served.address, 10)
  await capacityOf(served.target, 10)
  const output = new HeardOutput()
  const outcome = served.target.run(attemptOf({}, { output }))
  await worker.until((w) => w.attempts.length === 1)
  return {
    served,
    worker,
    output,
    outcome,
    lease: worker.attempts[0]!.lease,
    async [Symbol.asyncDispose]() {
      worker[Symbol.dispose]()
      await served[Symbol.asyncDispose]()
    },
  }
}

describe('partial output of workers', () => {
  it('is welcomed with its limits, heard in order, and told as durable once it is', async () => {
    await using held = await heldAttempt()
    const { worker, lease, output, outcome } = held
    const welcome = worker.received[0]!.welcome!
    assert.deepEqual(
      [welcome.chunkBytesMax, welcome.chunkWindowBytes, welcome.chunksMax, welcome.chunksBytesMax],
      [CHUNK_BYTES_MAX, CHUNKS_WINDOW_BYTES, CHUNKS_MAX, CHUNKS_BYTES_MAX],
    )
    worker.chunks(lease, 'one', 'two', 'three')
    await output.until(({ said }) => said.length === 3)
    assert.deepEqual(output.texts, ['one', 'two', 'three'])
    assert.equal(worker.kept(lease), 0)
    output.keep(2)
    await worker.until((w) => w.kept(lease) === 2)
    output.keep()
    await worker.until((w) => w.kept(lease) === 3)
    worker.say({ outputs: [{ lease, content: { case: 'chunk', value: {} } }] })
    await output.until(({ said }) => said.length === 4)
    assert.deepEqual(output.said[3], {
      kind: 'chunk',
      payload: new Uint8Array(0),
      contentType: 'application/octet-stream',
    })
    worker.succeed(lease)
    assert.equal((await outcome).kind, 'succeeded')
  })

  it('is taken before the outcome of the same message, and never after the outcome', async () => {
    await using held = await heldAttempt()
    const { worker, lease, output, outcome } = held
    const chunk = (text: string) =>
      ({ lease, content: { case: 'chunk', value: { payload: Buffer.from(text) } } }) as const
    worker.say({
      outcomes: [{ lease, end: { case: 'success', value: { payload: Buffer.from('end') } } }],
      outputs: [chunk('a'), chunk('b')],
    })
    worker.say({ outputs: [chunk('late')] })
    assert.equal((await outcome).kind, 'succeeded')
    assert.deepEqual(output.texts, ['a', 'b'])
    // An outcome that is refused comes back after the late chunk was read.
    worker.say({ outcomes: [{ lease: 99 }] })
    await worker.until((w) => w.received.some(({ refused }) => refused.includes(99)))
    assert.deepEqual(output.texts, ['a', 'b'])
  })

  it('is dropped without a word for a lease that is not held', async () => {
    await using held = await heldAttempt()
    const { worker, lease, output, outcome } = held
    worker.chunks(lease + 7, 'foreign')
    worker.progress(lease + 7, { fraction: 0.5 })
    worker.succeed(lease)
    assert.equal((await outcome).kind, 'succeeded')
    assert.deepEqual(output.said, [])
    assert.ok(worker.received.every(({ refused, kept }) => refused.length === 0 && kept.length === 0))
  })

  it('takes progress between 0 and 1, the nearer end of what lies beyond, no number as unknown, and cuts its message', async () => {
    await using held = await heldAttempt()
    const { worker, lease, output } = held
    for (const fraction of [0, 0.4, 1, -1, 7, Number.NaN, Number.POSITIVE_INFINITY]) {
      worker.progress(lease, { fraction })
    }
    worker.progress(lease, { message: `line\n${'ü'.repeat(2000)}` })
    await output.until(({ said }) => said.length === 8)
    const progress = output.said.flatMap((one) => (one.kind === 'progress' ? [one] : []))
    assert.deepEqual(
      progress.map(({ fraction }) => fraction),
      [0, 0.4, 1, 0, 1, null, null, null],
    )
    const { message } = progress[7]!
    assert.ok(Buffer.byteLength(message) <= PROGRESS_MESSAGE_BYTES_MAX, message)
    assert.match(message, /^line ü+$/)
  })

  it('of a content type that is none ends the attempt, which is retried, and calls the worker off', async () => {
    await using held = await heldAttempt()
    const { worker, lease, outcome } = held
    worker.say({ outputs: [{ lease, content: { case: 'chunk', value: { contentType: 'text' } } }] })
    const ended = await outcome
    assert.ok(ended.kind === 'failed')
    assert.deepEqual([ended.code, ended.then], ['WORKER_PROTOCOL', 'retry'])
    await worker.until((w) => w.received.some(({ cancels }) => cancels.length > 0))
    const [cancel] = worker.received.flatMap(({ cancels }) => cancels)
    assert.deepEqual([cancel!.lease, cancel!.reason], [lease, CancelReason.OUTPUT_REFUSED])
  })
})

describe('limits of partial output', () => {
  it('end the session: a chunk larger than one may be, more on the road than the window', async () => {
    const cases = [
      [[Buffer.alloc(CHUNK_BYTES_MAX + 1)], /A chunk has 262145 bytes; at most 262144/],
      [[Buffer.alloc(CHUNK_BYTES_MAX), Buffer.alloc(CHUNK_BYTES_MAX), 'x'], /More than 524288 bytes of chunks/],
    ] as const
    for (const [payloads, message] of cases) {
      await using held = await heldAttempt()
      const { worker, lease, outcome } = held
      worker.chunks(lease, ...payloads)
      const end = await worker.ended
      assert.equal(end.code, status.RESOURCE_EXHAUSTED)
      assert.match(end.details, message)
      assert.equal((await outcome).kind, 'worker-lost')
    }
  })

  it('end the attempt dead: more bytes than all its chunks may have, or more chunks', async () => {
    const half = Buffer.alloc(CHUNK_BYTES_MAX)
    const cases = [
      [half, CHUNKS_BYTES_MAX / CHUNK_BYTES_MAX, 2, /more than the 16777216 bytes/],
      [Buffer.alloc(0), CHUNKS_MAX, 10_000, /more than the 100000 chunks/],
    ] as const
    for (const [payload, allowed, atOnce, message] of cases) {
      await using held = await heldAttempt()
      const { worker, lease, output, outcome } = held
      for (let sent = 0; sent < allowed; sent += atOnce) {
        worker.chunks(lease, ...Array.from({ length: atOnce }, () => payload))
        await output.until(({ said }) => said.length === sent + atOnce)
        output.keep()
        await worker.until((w) => w.kept(lease) === sent + atOnce)
      }
      worker.chunks(lease, Buffer.from('x'))
      const ended = await outcome
      assert.ok(ended.kind === 'failed')
      assert.deepEqual([ended.code, ended.then], ['OUTPUT_TOO_LARGE', 'dead'])
      assert.match(ended.message, message)
      assert.equal(output.said.length, allowed)
      await worker.until((w) => w.received.some(({ cancels }) => cancels[0]?.reason === CancelReason.OUTPUT_REFUSED))
    }
  })

  it('of one session over many attempts: it is read no further while too much waits, and is not called silent for that', async () => {
    const leaseMs = 1_000
    await using served = await serveWorkers({ leaseMs })
    const attempts = SESSION_OUTPUT_BYTES_MAX / CHUNKS_WINDOW_BYTES + 1
    using worker = RawWorker.hello(served.address, attempts)
    await capacityOf(served.target, attempts)
    const output = new HeardOutput()
    const outcomes = Array.from({ length: attempts }, () => served.target.run(attemptOf({}, { output })))
    await worker.until((w) => w.attempts.length === attempts)
    const leases = worker.attempts.map(({ lease }) => lease)
    for (const lease of leases) worker.chunks(lease, Buffer.alloc(CHUNK_BYTES_MAX), Buffer.alloc(CHUNK_BYTES_MAX))
    for (const lease of leases) worker.succeed(lease)
    await output.until(({ said }) => said.length >= SESSION_OUTPUT_BYTES_MAX / CHUNK_BYTES_MAX - 2)
    // Longer than its lease it hears nothing of this worker, by its own will.
    await systemClock.sleep(2 * leaseMs)
    assert.ok(output.said.length < 2 * attempts, `${output.said.length} chunks`)
    let ended = false
    void worker.ended.then(() => {
      ended = true
    })
    while (output.said.length < 2 * attempts) {
      assert.ok(!ended)
      output.keep()
      await systemClock.sleep(5)
    }
    output.keep()
    assert.ok((await Promise.all(outcomes)).every(({ kind }) => kind === 'succeeded'))
  })
})
