import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AttemptAborted, createWorker } from '../src/worker/worker.ts'
import { WorkerServer } from './worker-server.ts'

test('a stop takes no more, finishes what runs and ends the session in good order', async () => {
  await using server = await WorkerServer.start()
  const release = Promise.withResolvers<void>()
  const worker = createWorker({ server: server.address, queues: { echo: () => release.promise.then(() => 'ok') } })
  const session = await server.session()
  const [lease] = session.give({})
  await session.heard()
  const stopped = worker.stop()
  await session.until(() => session.draining)
  assert.equal(session.halfClosed, false)
  release.resolve()
  assert.deepEqual(await stopped, { left: [] })
  assert.equal((await session.outcome(lease!)).case, 'success')
  assert.equal(session.halfClosed, true)
  assert.equal(server.sessions.length, 1)
  const goodbye = session.frames.findIndex((frame) => frame.draining)
  assert.ok(session.frames.slice(goodbye).every((frame) => frame.credits === 0))
})

test('attempts that were on the road when the worker began to leave are done, too', async () => {
  await using server = await WorkerServer.start()
  const worker = createWorker({ server: server.address, queues: { echo: () => 'ok' } })
  const session = await server.session()
  await session.heard()
  const stopped = worker.stop()
  await session.until(() => session.draining)
  const [lease] = session.give({})
  assert.deepEqual(await stopped, { left: [] })
  assert.equal((await session.outcome(lease!)).case, 'success')
})

test('after the grace time handlers are aborted, their attempts handed back and named', async () => {
  await using server = await WorkerServer.start()
  const aborted = Promise.withResolvers<unknown>()
  const worker = createWorker({
    server: server.address,
    queues: {
      echo: (_task, { signal }) => {
        signal.addEventListener('abort', () => aborted.resolve(signal.reason))
        return new Promise(() => {})
      },
    },
  })
  const session = await server.session()
  const [lease] = session.give({ taskId: 'abc', number: 2 })
  await session.heard()
  const report = await worker.stop({ graceMs: 30 })
  assert.deepEqual(report, { left: ['echo: task abc, attempt 2, was still running'] })
  const thrown = await aborted.promise
  assert.ok(thrown instanceof AttemptAborted)
  assert.equal(thrown.why, 'stopping')
  const end = await session.outcome(lease!)
  assert.ok(end.case === 'failure')
  assert.match(end.value.message, /stopped before it had finished/)
  assert.equal(session.halfClosed, true)
})

test('a second stop with less grace shortens the first, one with more does not lengthen it', async () => {
  await using server = await WorkerServer.start()
  const worker = createWorker({ server: server.address, queues: { echo: () => new Promise(() => {}) } })
  const session = await server.session()
  session.give({})
  await session.heard()
  const first = worker.stop({ graceMs: 60_000 })
  const second = worker.stop({ graceMs: 20 })
  const third = worker.stop({ graceMs: 60_000 })
  const reports = await Promise.all([first, second, third, worker.stopped])
  assert.ok(reports.every((report) => report === reports[0]))
  assert.equal(reports[0]?.left.length, 1)
  assert.equal(await worker.stop(), reports[0])
})

test('a worker that never reached a server stops at once', async () => {
  const gone = await WorkerServer.start()
  gone.kill()
  const failed = Promise.withResolvers<void>()
  const worker = createWorker({
    server: gone.address,
    queues: { echo: () => {} },
    onEvent: () => failed.resolve(),
  })
  await failed.promise
  const startedMs = performance.now()
  assert.deepEqual(await worker.stop({ graceMs: 5_000 }), { left: [] })
  assert.ok(performance.now() - startedMs < 1_000)
})

test('a worker that was only just made stops at once', async () => {
  await using server = await WorkerServer.start()
  const worker = createWorker({ server: server.address, queues: { echo: () => {} } })
  assert.deepEqual(await worker.stop(), { left: [] })
})

test('leaving an await using block stops the worker', async () => {
  await using server = await WorkerServer.start()
  let stopped: Promise<unknown>
  {
    await using worker = createWorker({ server: server.address, queues: { echo: () => {} } })
    stopped = worker.stopped
    await server.session()
  }
  assert.deepEqual(await stopped, { left: [] })
})

test('a server that vanishes during the stop does not hold it up', async () => {
  await using server = await WorkerServer.start()
  const release = Promise.withResolvers<void>()
  const worker = createWorker({
    server: server.address,
    queues: { echo: () => release.promise },
    onEvent: () => {},
  })
  const session = await server.session()
  session.give({})
  await session.heard()
  const stopped = worker.stop()
  await session.until(() => session.draining)
  server.kill()
  release.resolve()
  assert.deepEqual(await stopped, { left: [] })
})

test('starting and stopping many times under load loses no outcome and answers none twice', async () => {
  await using server = await WorkerServer.start()
  for (let round = 0; round < 15; round++) {
    const worker = createWorker({ server: server.address, queues: { echo: async (task) => task.id } })
    const session = await server.session()
    await session.heard()
    const leases = session.give(...Array.from({ length: 10 }, () => ({})))
    if (round % 3 === 0) await session.outcome(leases[0]!)
    assert.deepEqual(await worker.stop(), { left: [] })
    assert.deepEqual(
      session.outcomes.map(({ lease }) => lease).sort((one, other) => one - other),
      leases,
    )
  }
})
