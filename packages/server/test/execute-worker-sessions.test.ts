import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CancelReason, FailureKind } from '@forebay/protocol'
import { status } from '@grpc/grpc-js'
import { createMetrics } from '../src/telemetry.ts'
import { attemptOf, capacityOf, RawWorker, serveWorkers } from './execute-fixtures.ts'

describe('worker sessions hand attempts over', () => {
  it('welcomes a worker, hands it an attempt with all that it needs, and takes its outcome', async () => {
    await using served = await serveWorkers()
    using worker = RawWorker.hello(served.address, 1)
    await capacityOf(served.target, 1)
    const outcome = served.target.run(
      attemptOf(
        { id: 'a-task', key: 'user-7', headers: [['traceparent', '00-1-2-01']] },
        { number: 3, timeoutMs: 4000 },
      ),
    )
    await worker.until((w) => w.attempts.length === 1)
    const welcome = worker.received[0]!.welcome!
    assert.deepEqual(
      [welcome.heartbeatMs, welcome.leaseMs, welcome.resultBytesMax],
      [1666, 5000, 1024 * 1024 - 16 * 1024],
    )
    const [given] = worker.attempts
    assert.deepEqual(
      [given!.taskId, given!.number, given!.queue, given!.key, given!.contentType, given!.timeoutMs],
      ['a-task', 3, 'thumbnails', 'user-7', 'application/json', 4000],
    )
    assert.deepEqual([given!.headers[0]!.name, given!.headers[0]!.value], ['traceparent', '00-1-2-01'])
    assert.equal(Buffer.from(given!.payload).toString(), '{}')
    worker.succeed(given!.lease, 'thumb')
    const ended = await outcome
    assert.equal(ended.kind, 'succeeded')
    assert.ok(ended.kind === 'succeeded')
    assert.equal(Buffer.from(ended.payload).toString(), 'thumb')
    assert.equal(ended.contentType, 'text/plain')
  })

  it('sends no more than the credits, and says at once that nobody is free', async () => {
    await using served = await serveWorkers()
    using worker = RawWorker.hello(served.address, 2)
    await capacityOf(served.target, 2)
    void served.target.run(attemptOf())
    void served.target.run(attemptOf())
    assert.equal(served.target.capacity, 0)
    const third = await served.target.run(attemptOf())
    assert.ok(third.kind === 'failed')
    assert.deepEqual([third.code, third.then], ['TARGET_UNAVAILABLE', 'retry'])
    worker.say({ credits: 1 })
    await capacityOf(served.target, 1)
    await worker.until((w) => w.attempts.length === 2)
  })

  it('puts all attempts of one turn into one frame', async () => {
    await using served = await serveWorkers()
    using worker = RawWorker.hello(served.address, 500)
    await capacityOf(served.target, 500)
    await worker.until((w) => w.received.length === 1)
    for (let n = 0; n < 500; n++) void served.target.run(attemptOf())
    await worker.until((w) => w.attempts.length === 500)
    assert.equal(worker.received.length, 2)
    assert.equal(new Set(worker.attempts.map(({ lease }) => lease)).size, 500)
  })

  it('never spends a credit twice when queues share a worker', async () => {
    await using served = await serveWorkers()
    const mails = served.sessions.target('mails')
    using worker = RawWorker.hello(served.address, 3, ['thumbnails', 'mails'])
    await capacityOf(served.target, 3)
    assert.equal(mails.capacity, 3)
    void served.target.run(attemptOf())
    void served.target.run(attemptOf())
    assert.equal(mails.capacity, 1)
    void mails.run(attemptOf({ queue: 'mails' }))
    assert.deepEqual([served.target.capacity, mails.capacity], [0, 0])
    await worker.until((w) => w.attempts.length === 3)
  })

  it('spreads attempts over all sessions of the queue', async () => {
    await using served = await serveWorkers()
    using first = RawWorker.hello(served.address, 10)
    using second = RawWorker.hello(served.address, 10)
    await capacityOf(served.target, 20)
    for (let n = 0; n < 10; n++) void served.target.run(attemptOf())
    await Promise.all([first, second].map((worker) => worker.until((w) => w.attempts.length === 5)))
  })

  it('clamps what is open at once to 10,000 however many credits come', async () => {
    await using served = await serveWorkers()
    using worker = RawWorker.hello(served.address, 0xffffffff)
    await capacityOf(served.target, 1)
    assert.equal(served.target.capacity, 10_000)
    void served.target.run(attemptOf())
    await worker.until((w) => w.attempts.length === 1)
    worker.say({ credits: 0xffffffff })
    worker.say({ outcomes: [{ lease: 77 }] })
    await worker.until((w) => w.received.some((message) => message.refused.length > 0))
    assert.equal(served.target.capacity, 9999)
  })

  it('maps each kind of failure, cuts its message, and clamps the delay it asks for', async () => {
    await using served = await serveWorkers()
    using worker = RawWorker.hello(served.address, 10)
    await capacityOf(served.target, 10)
    const fail = async (kind: FailureKind, retryAfterMs = 0, message = 'no') => {
      const before = worker.attempts.length
      const outcome = served.target.run(attemptOf())
      await worker.until((w) => w.attempts.length > before)
      const value = { message, kind, retryAfterMs }
      worker.say({ outcomes: [{ lease: worker.attempts.at(-1)!.lease, end: { case: 'failure', value } }] })
      const ended = await outcome
      assert.ok(ended.kind === 'failed')
      return ended
    }
    const shown = async (kind: FailureKind, retryAfterMs = 0) => {
      const { code, then, retryAfterMs: after } = await fail(kind, retryAfterMs)
      return [code, then, after]
    }
    assert.deepEqual(await shown(FailureKind.UNSPECIFIED), ['WORKER_FAILED', 'retry', undefined])
    assert.deepEqual(await shown(FailureKind.RETRYABLE, 250), ['WORKER_FAILED', 'retry', 250])
    assert.deepEqual(await shown(FailureKind.RETRYABLE, 0xffffffff), ['WORKER_FAILED', 'retry', 3_600_000])
    assert.deepEqual(await shown(FailureKind.FINAL), ['WORKER_REFUSED', 'final', undefined])
    assert.deepEqual(await shown(FailureKind.DEAD), ['WORKER_FAILED', 'dead', undefined])
    const long = await fail(FailureKind.FINAL, 0, 'ä'.repeat(5000))
    assert.equal(Buffer.byteLength(long.message), 4096)
    assert.equal(long.message, 'ä'.repeat(2048))
  })
})

describe('worker sessions and workers that misbehave', () => {
  it('counts the first of two outcomes and refuses the second, and one for a lease of somebody else', async () => {
    const metrics = createMetrics()
    await using served = await serveWorkers({ metrics })
    using worker = RawWorker.hello(served.address, 1)
    await capacityOf(served.target, 1)
    const outcome = served.target.run(attemptOf())
    await worker.until((w) => w.attempts.length === 1)
    const { lease } = worker.attempts[0]!
    worker.succeed(lease, 'first')
    worker.succeed(lease, 'second')
    worker.succeed(4_000_000_000, 'foreign')
    const ended = await outcome
    assert.ok(ended.kind === 'succeeded')
    assert.equal(Buffer.from(ended.payload).toString(), 'first')
    await worker.until((w) => w.received.flatMap(({ refused }) => refused).length === 2)
    assert.deepEqual(worker.received.flatMap(({ refused }) => refused).sort(), [lease, 4_000_000_000].sort())
    assert.equal((await metrics.outcomesRefused.get()).values[0]!.value, 2)
  })

  it('ends the session that sends garbage, and only that one', async () => {
    await using served = await serveWorkers()
    using good = RawWorker.hello(served.address, 1)
    using bad = RawWorker.hello(served.address, 1)
    await capacityOf(served.target, 2)
    const outcomes = [served.target.run(attemptOf()), served.target.run(attemptOf())]
    await Promise.all([good, bad].map((worker) => worker.until((w) => w.attempts.length === 1)))
    bad.call.write(Buffer.from('ffffffffffffffffffff', 'hex'))
    assert.equal((await bad.ended).code, status.INVALID_ARGUMENT)
    good.succeed(good.attempts[0]!.lease)
    const kinds = (await Promise.all(outcomes)).map(({ kind }) => kind).sort()
    assert.deepEqual(kinds, ['succeeded', 'worker-lost'])
  })

  it('ends a session whose message is beyond 8 MiB', async () => {
    await using served = await serveWorkers()
    using worker = RawWorker.hello(served.address, 1)
    await capacityOf(served.target, 1)
    const outcome = served.target.run(attemptOf())
    await worker.until((w) => w.attempts.length === 1)
    worker.call.write(Buffer.alloc(50 * 1024 * 1024))
    assert.equal((await worker.ended).code, status.RESOURCE_EXHAUSTED)
    assert.equal((await outcome).kind, 'worker-lost')
    assert.equal(served.target.capacity, 0)
  })

  it('times a hanging attempt out, tells the worker, and refuses its late outcome', async () => {
    await using served = await serveWorkers()
    using worker = RawWorker.hello(served.address, 1)
    await capacityOf(served.target, 1)
    const startedMs = performance.now()
    const outcome = await served.target.run(attemptOf({}, { timeoutMs: 60 }))
    assert.deepEqual(outcome, { kind: 'timed-out', worker: 'raw' })
    assert.ok(performance.now() - startedMs >= 60)
    await worker.until((w) => w.received.some(({ cancels }) => cancels.length > 0))
    const [cancel] = worker.received.flatMap(({ cancels }) => cancels)
    const { lease } = worker.attempts[0]!
    assert.deepEqual([cancel!.lease, cancel!.reason], [lease, CancelReason.TIMED_OUT])
    worker.succeed(lease, 'late')
    await worker.until((w) => w.received.some(({ refused }) => refused.includes(lease)))
  })

  it('calls attempts off when the assignment is lost, all with one listener', async () => {
    await using served = await serveWorkers()
    using worker = RawWorker.hello(served.address, 50)
    await capacityOf(served.target, 50)
    const assignment = new AbortController()
    const outcomes = Array.from({ length: 20 }, () => served.target.run(attemptOf({}, { lost: assignment.signal })))
    const other = served.target.run(attemptOf())
    await worker.until((w) => w.attempts.length === 21)
    assignment.abort()
    for (const outcome of await Promise.all(outcomes)) assert.equal(outcome.kind, 'worker-lost')
    await worker.until((w) => w.received.flatMap(({ cancels }) => cancels).length === 20)
    const reasons = new Set(worker.received.flatMap(({ cancels }) => cancels.map(({ reason }) => reason)))
    assert.deepEqual([...reasons], [CancelReason.ASSIGNMENT_LOST])
    worker.succeed(worker.attempts.at(-1)!.lease)
    assert.equal((await other).kind, 'succeeded')
  })

  it('counts attempts as lost at once when the worker disconnects', async () => {
    await using served = await serveWorkers()
    using worker = RawWorker.hello(served.address, 1)
    await capacityOf(served.target, 1)
    const outcome = served.target.run(attemptOf())
    await worker.until((w) => w.attempts.length === 1)
    worker.call.cancel()
    const ended = await outcome
    assert.ok(ended.kind === 'worker-lost')
    assert.equal(ended.worker, 'raw')
    assert.equal(served.target.capacity, 0)
  })

  it('takes attempts back from a worker that leaves without an answer, and does not call it lost', async () => {
    await using served = await serveWorkers()
    using worker = RawWorker.hello(served.address, 1)
    await capacityOf(served.target, 1)
    const outcome = served.target.run(attemptOf())
    await worker.until((w) => w.attempts.length === 1)
    worker.call.end()
    const ended = await outcome
    assert.ok(ended.kind === 'failed')
    assert.deepEqual([ended.code, ended.then, ended.worker], ['WORKER_LOST', 'retry', 'raw'])
  })

  it('ends a silent session after the lease, and keeps one that sends empty messages', async () => {
    await using served = await serveWorkers({ leaseMs: 300 })
    using silent = RawWorker.hello(served.address, 1)
    await capacityOf(served.target, 1)
    const outcome = served.target.run(attemptOf())
    using lively = RawWorker.hello(served.address, 1)
    const beat = setInterval(() => lively.say({}), 60)
    const ended = await silent.ended
    clearInterval(beat)
    assert.equal(ended.code, status.DEADLINE_EXCEEDED)
    assert.match(ended.details, /Nothing was heard for 300 ms/)
    assert.equal((await outcome).kind, 'worker-lost')
    assert.equal(served.target.capacity, 1)
    assert.ok(lively.received.some(({ welcome, attempts }) => welcome === undefined && attempts.length === 0))
  })

  it('hands nothing more to a worker that does not read, and ends it after the lease', async () => {
    await using served = await serveWorkers({ leaseMs: 400 })
    using worker = RawWorker.hello(served.address, 10_000)
    await capacityOf(served.target, 10_000)
    worker.call.pause()
    const beat = setInterval(() => worker.say({}), 50)
    const payload = Buffer.alloc(64 * 1024)
    const outcomes = []
    while (served.target.capacity > 0) {
      outcomes.push(served.target.run(attemptOf({ payload })))
      await new Promise(setImmediate)
    }
    // Written until a mebibyte and what the sockets hold: far from the 640 MB that the credits allow.
    assert.ok(outcomes.length < 200, `${outcomes.length} attempts were handed over`)
    for (const outcome of await Promise.all(outcomes)) assert.equal(outcome.kind, 'worker-lost')
    clearInterval(beat)
    worker.call.resume()
    assert.notEqual((await worker.ended).code, status.OK)
  })

  it('ends a worker that floods foreign outcomes and never reads the refusals', async () => {
    await using served = await serveWorkers()
    using worker = RawWorker.hello(served.address, 1000)
    await capacityOf(served.target, 1000)
    worker.call.pause()
    const payload = Buffer.alloc(64 * 1024)
    const outcomes = []
    while (served.target.capacity > 0) {
      outcomes.push(served.target.run(attemptOf({ payload })))
      await new Promise(setImmediate)
    }
    const foreign = Array.from({ length: 1000 }, (_, index) => ({ lease: 1_000_000 + index }))
    for (let n = 0; n < 300; n++) worker.say({ outcomes: foreign })
    assert.equal((await outcomes[0]!).kind, 'worker-lost')
    worker.call.resume()
    assert.equal((await worker.ended).code, status.RESOURCE_EXHAUSTED)
  })

  it('lets go of the stream of a worker that never reads again', async () => {
    await using served = await serveWorkers({ sessionsMax: 1, leaseMs: 200 })
    using worker = RawWorker.hello(served.address, 1000)
    await capacityOf(served.target, 1000)
    worker.call.pause()
    const payload = Buffer.alloc(64 * 1024)
    while (served.target.capacity > 0) {
      void served.target.run(attemptOf({ payload }))
      await new Promise(setImmediate)
    }
    for (;;) {
      using next = RawWorker.hello(served.address, 1)
      const welcomed = next.until((w) => w.received.length > 0).then(() => true)
      if (await Promise.race([welcomed, next.ended.then(() => false)])) break
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  })

  it('ends attempts by what is wrong with their outcome: a result that is too large is dead, a bad content type or an empty outcome is retried', async () => {
    await using served = await serveWorkers({ resultBytesMax: 100 })
    using worker = RawWorker.hello(served.address, 3)
    await capacityOf(served.target, 3)
    const outcomes = [1, 2, 3].map(() => served.target.run(attemptOf()))
    await worker.until((w) => w.attempts.length === 3)
    const [first, second, third] = worker.attempts.map(({ lease }) => lease)
    worker.succeed(first!, 'x'.repeat(101))
    worker.succeed(second!, 'x', 'text/html\r\nSet-Cookie: a=b')
    worker.say({ outcomes: [{ lease: third! }] })
    const ended = await Promise.all(outcomes)
    assert.deepEqual(
      ended.map((outcome) => (outcome.kind === 'failed' ? [outcome.code, outcome.then] : outcome.kind)),
      [
        ['RESULT_TOO_LARGE', 'dead'],
        ['WORKER_PROTOCOL', 'retry'],
        ['WORKER_PROTOCOL', 'retry'],
      ],
    )
  })
})

describe('worker sessions at hello', () => {
  const refused = async (queues: string[]) => {
    await using served = await serveWorkers()
    using worker = RawWorker.hello(served.address, 1, queues)
    return await worker.ended
  }

  it('refuses an unknown queue and offers the nearest name', async () => {
    const ended = await refused(['thumbnials'])
    assert.equal(ended.code, status.INVALID_ARGUMENT)
    assert.equal(ended.details, 'There is no queue "thumbnials" here; did you mean \'thumbnails\'?')
  })

  it('refuses a queue that has a target of its own, no queue at all, and a first message without hello', async () => {
    const ended = await refused(['thumbnails', 'orders'])
    assert.equal(ended.code, status.INVALID_ARGUMENT)
    assert.match(ended.details, /"orders" is not served by workers: its target is of kind 'grpc'/)
    assert.equal((await refused([])).code, status.INVALID_ARGUMENT)
    await using served = await serveWorkers()
    using mute = new RawWorker(served.address)
    mute.say({ credits: 5 })
    assert.equal((await mute.ended).code, status.INVALID_ARGUMENT)
    using twice = RawWorker.hello(served.address, 1)
    twice.say({ hello: { queues: ['thumbnails'] } })
    assert.equal((await twice.ended).code, status.INVALID_ARGUMENT)
  })

  it('refuses sessions beyond the limit, and takes one again when one has gone', async () => {
    await using served = await serveWorkers({ sessionsMax: 2 })
    using first = RawWorker.hello(served.address, 1)
    using second = RawWorker.hello(served.address, 1)
    await capacityOf(served.target, 2)
    using third = RawWorker.hello(served.address, 1)
    assert.equal((await third.ended).code, status.RESOURCE_EXHAUSTED)
    first.call.end()
    assert.equal((await first.ended).code, status.OK)
    using fourth = RawWorker.hello(served.address, 1)
    await fourth.until((w) => w.received.length > 0)
    assert.ok(second.received.length > 0)
  })
})

describe('worker sessions come to an end', () => {
  it('gives a draining worker nothing more and takes what it still has', async () => {
    await using served = await serveWorkers()
    using worker = RawWorker.hello(served.address, 5)
    await capacityOf(served.target, 5)
    const outcome = served.target.run(attemptOf())
    await worker.until((w) => w.attempts.length === 1)
    worker.say({ draining: true, credits: 5 })
    worker.say({ outcomes: [{ lease: 99 }] })
    await worker.until((w) => w.received.some(({ refused }) => refused.length > 0))
    assert.equal(served.target.capacity, 0)
    worker.succeed(worker.attempts[0]!.lease)
    worker.call.end()
    assert.equal((await outcome).kind, 'succeeded')
    assert.equal((await worker.ended).code, status.OK)
  })

  it('on a stop tells workers to drain, waits for their outcomes, and refuses new sessions', async () => {
    await using served = await serveWorkers()
    using worker = RawWorker.hello(served.address, 2)
    await capacityOf(served.target, 2)
    const outcome = served.target.run(attemptOf())
    await worker.until((w) => w.attempts.length === 1)
    const stopped = served.sessions.stop(AbortSignal.timeout(5000))
    await worker.until((w) => w.received.some(({ drain }) => drain))
    assert.equal(served.target.capacity, 0)
    using late = RawWorker.hello(served.address, 1)
    assert.equal((await late.ended).code, status.UNAVAILABLE)
    worker.succeed(worker.attempts[0]!.lease)
    assert.equal((await outcome).kind, 'succeeded')
    await stopped
    assert.equal((await worker.ended).code, status.OK)
  })

  it('on a stop without patience counts what runs as lost', async () => {
    await using served = await serveWorkers()
    using worker = RawWorker.hello(served.address, 2)
    await capacityOf(served.target, 2)
    const outcome = served.target.run(attemptOf())
    await worker.until((w) => w.attempts.length === 1)
    await served.sessions.stop(AbortSignal.abort())
    assert.equal((await outcome).kind, 'worker-lost')
    assert.equal((await worker.ended).code, status.UNAVAILABLE)
    await served.sessions.stop(AbortSignal.abort())
  })

  it('stops one queue alone: its attempts are waited for, then lost, while others go on', async () => {
    await using served = await serveWorkers()
    using worker = RawWorker.hello(served.address, 5, ['thumbnails', 'mails'])
    await capacityOf(served.target, 5)
    const thumbnail = served.target.run(attemptOf())
    const mail = served.sessions.target('mails').run(attemptOf({ queue: 'mails' }))
    await worker.until((w) => w.attempts.length === 2)
    await served.target.stop(AbortSignal.abort())
    assert.equal((await thumbnail).kind, 'worker-lost')
    assert.equal(served.target.capacity, 0)
    worker.succeed(worker.attempts.find(({ queue }) => queue === 'mails')!.lease)
    assert.equal((await mail).kind, 'succeeded')
  })
})
