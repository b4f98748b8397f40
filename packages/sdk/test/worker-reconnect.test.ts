import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Clock, systemClock } from '@forebay/broker'
import { createWorker, type WorkerEvent } from '../src/worker/worker.ts'
import { WorkerServer } from './worker-server.ts'

test('a worker that starts before its server finds it when it is there', async () => {
  const gone = await WorkerServer.start()
  gone.kill()
  const failed = Promise.withResolvers<void>()
  await using _worker = createWorker({
    server: gone.address,
    queues: { echo: () => 'ok' },
    onEvent: (event) => event.type === 'disconnected' && failed.resolve(),
  })
  await failed.promise
  await using server = await WorkerServer.start({ port: gone.port })
  const session = await server.session()
  const [lease] = session.give({})
  assert.equal((await session.outcome(lease!)).case, 'success')
})

test('when the connection is lost, handlers are told, their outcomes are dropped and all credits come back', async () => {
  const first = await WorkerServer.start()
  const events: WorkerEvent[] = []
  const aborted = Promise.withResolvers<void>()
  const release = Promise.withResolvers<void>()
  let returned = 0
  await using _worker = createWorker({
    server: first.address,
    concurrency: 3,
    queues: {
      echo: async (_task, { signal }) => {
        signal.addEventListener('abort', () => aborted.resolve())
        await release.promise
        returned++
        return 'too late'
      },
    },
    onEvent: (event) => events.push(event),
  })
  const before = await first.session()
  before.give({}, {})
  await before.heard()
  first.kill()
  await aborted.promise
  await using second = await WorkerServer.start({ port: first.port })
  const after = await second.session()
  // Two handlers still hold their slots: nothing may run beside them.
  assert.equal(after.credits, 1)
  release.resolve()
  await after.until(() => after.credits === 3)
  assert.equal(returned, 2)
  assert.deepEqual(after.outcomes, [])
  const lost = events.find((event) => event.type === 'disconnected')
  assert.equal(lost?.type === 'disconnected' && lost.attemptsLost, 2)
})

test('several servers are tried in turn, without a pause until all were', async () => {
  const gone = await WorkerServer.start()
  gone.kill()
  await using server = await WorkerServer.start()
  const pauses: number[] = []
  await using _worker = createWorker({
    server: [gone.address, server.address],
    sessions: 'first',
    queues: { echo: () => {} },
    random: { fill: () => {}, unit: () => 0 },
    clock: notingSleeps(pauses),
    onEvent: () => {},
  })
  await server.session()
  assert.deepEqual(pauses, [0])
})

test('pauses between dials double up to ten seconds, each a random part of it', async () => {
  const gone = await WorkerServer.start()
  gone.kill()
  const pauses: number[] = []
  const enough = Promise.withResolvers<void>()
  await using worker = createWorker({
    server: gone.address,
    queues: { echo: () => {} },
    random: { fill: () => {}, unit: () => 0.5 },
    clock: notingSleeps(pauses, () => pauses.length === 8 && enough.resolve()),
    onEvent: () => {},
  })
  await enough.promise
  await worker.stop()
  assert.deepEqual(pauses.slice(0, 8), [125, 250, 500, 1_000, 2_000, 4_000, 5_000, 5_000])
})

test('a server that drains gets its outcomes, ends the session, and another one takes over at once', async () => {
  await using first = await WorkerServer.start()
  await using second = await WorkerServer.start()
  const events: WorkerEvent[] = []
  const release = Promise.withResolvers<void>()
  await using _worker = createWorker({
    server: [first.address, second.address],
    sessions: 'first',
    concurrency: 4,
    random: { fill: () => {}, unit: () => 0 },
    queues: { echo: () => release.promise.then(() => 'ok') },
    onEvent: (event) => events.push(event),
  })
  const draining = await first.session()
  const [lease] = draining.give({})
  draining.send({ drain: true })
  const next = await second.session()
  // The slot of the attempt that still runs stays where it is.
  assert.equal(next.credits, 3)
  assert.equal(draining.halfClosed, false)
  release.resolve()
  assert.equal((await draining.outcome(lease!)).case, 'success')
  await draining.until(() => draining.halfClosed)
  await next.until(() => next.credits === 4)
  assert.deepEqual(
    events.map(({ type }) => type),
    ['connected', 'drained', 'connected'],
  )
})

test('an idle worker leaves a draining server at once', async () => {
  await using server = await WorkerServer.start()
  await using _worker = createWorker({ server: server.address, queues: { echo: () => {} } })
  const first = await server.session()
  first.send({ drain: true })
  await first.until(() => first.halfClosed)
  await server.session()
})

test('a server that refuses the session is dialed again', async () => {
  await using server = await WorkerServer.start({ welcome: { heartbeatMs: 0 } })
  const events: WorkerEvent[] = []
  await using _worker = createWorker({
    server: server.address,
    queues: { echo: () => {} },
    onEvent: (event) => events.push(event),
  })
  const first = await server.session()
  first.stream.emit('error', { code: 8, details: 'as many sessions as it allows' })
  await server.session()
  assert.match(JSON.stringify(events[0]), /RESOURCE_EXHAUSTED: as many sessions as it allows/)
})

/** Real time, but sleeps only take a moment and are noted. */
function notingSleeps(pauses: number[], onSleep: () => void = () => {}): Clock {
  return {
    ...systemClock,
    sleep: (delayMs, signal) => {
      pauses.push(delayMs)
      onSleep()
      return systemClock.sleep(1, signal)
    },
  }
}
