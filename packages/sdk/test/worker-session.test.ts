import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CancelReason } from '@forebay/protocol'
import { AttemptAborted, createWorker, type WorkerEvent } from '../src/worker/worker.ts'
import { type PlayedSession, WELCOME, WorkerServer } from './worker-server.ts'

test('a finished task gives its credit back with its outcome, and what ends together shares a frame', async () => {
  await using server = await WorkerServer.start()
  await using _worker = createWorker({ server: server.address, queues: { echo: async () => 'ok' }, concurrency: 100 })
  const session = await server.session()
  const leases = session.give(...Array.from({ length: 100 }, () => ({})))
  await session.until(() => session.outcomes.length === 100)
  assert.equal(session.credits, 100)
  assert.deepEqual(
    session.outcomes.map(({ lease }) => lease).sort((one, other) => one - other),
    leases,
  )
  const withOutcomes = session.frames.filter((frame) => frame.outcomes.length > 0)
  assert.ok(withOutcomes.length <= 3, `${withOutcomes.length} frames`)
  assert.ok(withOutcomes.every((frame) => frame.credits === frame.outcomes.length))
})

test('credits and running handlers together never exceed the concurrency', async () => {
  await using server = await WorkerServer.start()
  let running = 0
  let most = 0
  await using _worker = createWorker({
    server: server.address,
    concurrency: 5,
    queues: {
      echo: async (task) => {
        most = Math.max(most, ++running)
        await new Promise((resolve) => setTimeout(resolve, Number(task.text())))
        running--
      },
    },
  })
  const session = await server.session()
  const total = 200
  let given = 0
  while (given < total) {
    await session.until(() => session.credits > 0)
    assert.ok(session.credits + running <= 5, `${session.credits} credits and ${running} running`)
    const count = Math.min(session.credits, total - given)
    session.give(...Array.from({ length: count }, (_, index) => ({ payload: Buffer.from(String(index % 4)) })))
    given += count
  }
  await session.until(() => session.outcomes.length === total)
  assert.equal(most, 5)
  assert.equal(new Set(session.outcomes.map(({ lease }) => lease)).size, total)
})

test('an attempt without a credit is handed back, not run', async () => {
  await using server = await WorkerServer.start()
  let ran = 0
  const release = Promise.withResolvers<void>()
  await using _worker = createWorker({
    server: server.address,
    concurrency: 1,
    queues: {
      echo: async () => {
        ran++
        await release.promise
      },
    },
  })
  const session = await server.session()
  const [, second] = session.give({}, {})
  const end = await session.outcome(second!)
  assert.ok(end.case === 'failure')
  assert.match(end.value.message, /no room/)
  assert.equal(ran, 1)
  release.resolve()
})

test('a cancelled attempt aborts its signal, sends no outcome and gives its credit back when the handler returns', async () => {
  for (const [reason, why] of [
    [CancelReason.TIMED_OUT, 'timed-out'],
    [CancelReason.CANCELLED, 'cancelled'],
    [CancelReason.ASSIGNMENT_LOST, 'assignment-lost'],
    [CancelReason.UNSPECIFIED, 'cancelled'],
  ] as const) {
    await using server = await WorkerServer.start()
    const aborted = Promise.withResolvers<unknown>()
    const started = Promise.withResolvers<void>()
    const release = Promise.withResolvers<void>()
    await using _worker = createWorker({
      server: server.address,
      concurrency: 1,
      queues: {
        echo: async (task, { signal }) => {
          if (task.id === 'next') return 'next'
          signal.addEventListener('abort', () => aborted.resolve(signal.reason))
          started.resolve()
          await release.promise
          return 'too late'
        },
      },
    })
    const session = await server.session()
    const [lease] = session.give({})
    await started.promise
    session.cancel(lease!, reason)
    session.cancel(99, reason)
    const thrown = await aborted.promise
    assert.ok(thrown instanceof AttemptAborted)
    assert.equal(thrown.why, why)
    assert.equal(session.credits, 0)
    release.resolve()
    await session.until(() => session.credits === 1)
    const [next] = session.give({ taskId: 'next' })
    await session.outcome(next!)
    assert.deepEqual(
      session.outcomes.map(({ lease: answered }) => answered),
      [next],
    )
  }
})

test('a signal that is asked for after the abort is aborted already', async () => {
  await using server = await WorkerServer.start()
  const started = Promise.withResolvers<void>()
  const cancelled = Promise.withResolvers<void>()
  const seen = Promise.withResolvers<boolean>()
  await using _worker = createWorker({
    server: server.address,
    queues: {
      slow: async (_task, context) => {
        started.resolve()
        await cancelled.promise
        seen.resolve(context.signal.aborted)
      },
      fast: () => cancelled.resolve(),
    },
  })
  const session = await server.session()
  const [lease] = session.give({ queue: 'slow' })
  await started.promise
  session.cancel(lease!, CancelReason.CANCELLED)
  session.give({ queue: 'fast' })
  assert.equal(await seen.promise, true)
})

test('an idle worker sends heartbeats as often as the server asks', async () => {
  await using server = await WorkerServer.start({ welcome: { heartbeatMs: 40 } })
  await using _worker = createWorker({ server: server.address, queues: { echo: () => {} } })
  const session = await server.session()
  await session.until(() => session.frames.length >= 5)
  assert.ok(session.frames.slice(1).every((frame) => frame.outcomes.length === 0 && frame.credits === 0))
})

test('a server that stays silent for its lease is left, and its handlers are told', async () => {
  await using server = await WorkerServer.start({ welcome: { heartbeatMs: 50, leaseMs: 150 } })
  const events: WorkerEvent[] = []
  const aborted = Promise.withResolvers<unknown>()
  await using _worker = createWorker({
    server: server.address,
    queues: {
      echo: (_task, { signal }) =>
        new Promise((resolve) => {
          signal.addEventListener('abort', () => {
            aborted.resolve(signal.reason)
            resolve('too late')
          })
        }),
    },
    onEvent: (event) => events.push(event),
  })
  const first = await server.session()
  first.give({})
  const thrown = await aborted.promise
  assert.ok(thrown instanceof AttemptAborted)
  assert.equal(thrown.why, 'connection-lost')
  await server.session()
  const lost = events.find((event) => event.type === 'disconnected')
  assert.ok(lost?.type === 'disconnected')
  assert.match(lost.reason, /silent for 150 ms/)
  assert.equal(lost.attemptsLost, 1)
  assert.deepEqual(first.outcomes, [])
})

test('a server that says something now and then is kept', async () => {
  await using server = await WorkerServer.start({ welcome: { heartbeatMs: 50, leaseMs: 200 } })
  const events: WorkerEvent[] = []
  await using _worker = createWorker({
    server: server.address,
    queues: { echo: () => {} },
    onEvent: (event) => events.push(event),
  })
  const session = await server.session()
  for (let beat = 0; beat < 8; beat++) {
    await new Promise((resolve) => setTimeout(resolve, 60))
    session.send({})
  }
  assert.deepEqual(
    events.map(({ type }) => type),
    ['connected'],
  )
})

test('a handler that blocks the event loop for longer than the lease does not make the server look silent', async () => {
  await using server = await WorkerServer.start({ welcome: { heartbeatMs: 50, leaseMs: 200 } })
  const events: WorkerEvent[] = []
  await using _worker = createWorker({
    server: server.address,
    queues: { echo: () => {} },
    onEvent: (event) => events.push(event),
  })
  const session = await server.session()
  await session.until(() => session.frames.length > 1)
  session.send({})
  const untilMs = performance.now() + 300
  while (performance.now() < untilMs);
  session.send({})
  await session.until(() => session.frames.length > 4)
  assert.ok(!events.some(({ type }) => type === 'disconnected'))
})

test('refused outcomes are told', async () => {
  await using server = await WorkerServer.start()
  const refused = Promise.withResolvers<WorkerEvent>()
  await using _worker = createWorker({
    server: server.address,
    queues: { echo: () => {} },
    onEvent: (event) => event.type === 'outcomes-refused' && refused.resolve(event),
  })
  const session = await server.session()
  session.send({ refused: [7, 8] })
  assert.deepEqual(await refused.promise, { type: 'outcomes-refused', address: server.address, count: 2 })
})

test('a failed attempt is told with what the handler threw; a listener that throws changes nothing', async () => {
  await using server = await WorkerServer.start()
  const failed = Promise.withResolvers<WorkerEvent>()
  const error = new Error('no luck')
  await using _worker = createWorker({
    server: server.address,
    queues: { echo: () => Promise.reject(error) },
    onEvent: (event) => {
      if (event.type === 'attempt-failed') failed.resolve(event)
      throw new Error('a bad listener')
    },
  })
  const session = await server.session()
  const [lease] = session.give({ taskId: 'abc', number: 2 })
  assert.deepEqual(await failed.promise, { type: 'attempt-failed', task: 'abc', queue: 'echo', attempt: 2, error })
  assert.equal((await session.outcome(lease!)).case, 'failure')
})

test('a server that breaks the protocol is left for the next session', async () => {
  const breaks: ((session: PlayedSession) => void)[] = [
    // A first message without a welcome.
    (session) => session.send({}),
    (session) => {
      session.send({
        welcome: { $typeName: 'forebay.worker.v1.Welcome', ...WELCOME, heartbeatMs: 0, leaseMs: 0, resultBytesMax: 0 },
      })
      session.give({ queue: 'hang' }, { queue: 'hang', lease: 1 })
    },
  ]
  for (const breakIt of breaks) {
    await using server = await WorkerServer.start({ welcome: { heartbeatMs: 0 } })
    await using worker = createWorker({
      server: server.address,
      queues: { hang: (_task, { signal }) => new Promise((_, reject) => signal.addEventListener('abort', reject)) },
      onEvent: () => {},
    })
    const session = await server.session()
    breakIt(session)
    await session.until(() => session.over)
    await server.session()
    await worker.stop({ graceMs: 0 })
  }
})
