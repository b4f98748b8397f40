import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { systemClock, systemRandom } from '@forebay/broker'
import { embeddedBroker } from '@forebay/broker/embedded'
import { ForebayError } from '@forebay/protocol'
import { Client, credentials } from '@grpc/grpc-js'
import { pino } from 'pino'
import { requireOptions } from '../src/resolve-options.ts'
import { createServer, type Server, type ServerParts } from '../src/server.ts'
import { embeddedStore } from '../src/store/embedded/embedded.ts'
import { createMetrics } from '../src/telemetry.ts'
import { TaskClient } from './support/task-client.ts'

const ROUNDS = 12

test('a server that is stopped at any moment, once or twice, lets go of everything', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-lifecycle-'))
  for (let round = 0; round < ROUNDS; round++) {
    const server = serverIn(dir)
    const starting = server.start().then(
      () => 'started',
      () => 'not started',
    )
    await systemClock.sleep((round / ROUNDS) * 400)
    const first = server.stop({ graceMs: 1_000 })
    const second = server.stop({ graceMs: round % 2 === 0 ? 0 : 5_000 })
    assert.deepEqual(await first, await second)
    await starting
    assert.deepEqual(await server.stopped, { left: [] })
  }
  await using server = serverIn(dir)
  const { http } = await server.start()
  const answer = await fetch(`http://127.0.0.1:${http.port}/readyz`)
  assert.equal(answer.status, 200, 'the folder was free for the next one')
  await server.stop()
  rmSync(dir, { recursive: true })
})

test('a second stop without grace ends at once, though a caller holds its connection', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-lifecycle-'))
  const server = serverIn(dir)
  const { http } = await server.start()
  const caller = connect(http.port, '127.0.0.1')
  caller.on('error', () => {})
  await once(caller, 'connect')
  caller.write('POST /v1/queues/echo/tasks HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf')
  await systemClock.sleep(100)
  const patient = server.stop({ graceMs: 60_000 })
  const beganMs = systemClock.monotonicMs()
  await server.stop({ graceMs: 0 })
  assert.deepEqual((await patient).left, ['1 HTTP connections were cut'])
  assert.ok(systemClock.monotonicMs() - beganMs < 20_000)
  rmSync(dir, { recursive: true })
})

test('gRPC streams that callers would hold open for ever hold up no stop', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-lifecycle-'))
  const server = serverIn(dir)
  const { grpc } = await server.start()
  const client = new Client(`127.0.0.1:${grpc.port}`, credentials.createInsecure())
  const tasks = new TaskClient(client)
  const kept = await tasks.submit({ queue: 'echo' })
  const watching = tasks.watch({ id: kept.task!.id })
  await watching.first(1)
  const submitting = tasks.submitStream()
  submitting.send({ sequence: 1n, submit: { queue: 'echo' } })
  await submitting.first(1)
  const same = (bytes: Buffer) => bytes
  const health = client.makeServerStreamRequest('/grpc.health.v1.Health/Watch', same, same, Buffer.alloc(0))
  health.on('error', () => {})
  await once(health, 'data')
  const beganMs = systemClock.monotonicMs()
  await server.stop({ graceMs: 50_000 })
  assert.ok(systemClock.monotonicMs() - beganMs < 25_000)
  for (const stream of [watching, submitting]) {
    assert.deepEqual((await stream.ended)?.metadata.get('forebay-error'), ['STOPPING'])
  }
  client.close()
  rmSync(dir, { recursive: true })
})

test('a stop before the start is a stop: the server never opens', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-lifecycle-'))
  const server = serverIn(dir)
  assert.deepEqual(await server.stop(), { left: [] })
  await assert.rejects(server.start(), { code: 'CLOSED' })
  rmSync(dir, { recursive: true, force: true })
})

test('a server whose port is taken says so and closes what it had opened', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-lifecycle-'))
  await using holder = serverIn(join(dir, 'a'))
  const { http } = await holder.start()
  const late = serverIn(join(dir, 'b'), http.port)
  await assert.rejects(late.start(), /EADDRINUSE/)
  await late.stopped
  await using again = serverIn(join(dir, 'b'))
  await again.start()
  await again.stop()
  await holder.stop()
  rmSync(dir, { recursive: true })
})

test('a log that goes again right after it was opened is waited for by a collector, and by nobody who serves', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-lifecycle-'))
  const flickering = () => {
    const broker = embeddedBroker({ dir: join(dir, 'log') })
    const inspect = broker.inspect.bind(broker)
    let looks = 0
    broker.inspect = (request) => {
      if (++looks > 2) return inspect(request)
      return Promise.reject(new ForebayError('BROKER_UNAVAILABLE', 'It is gone again.'))
    }
    return broker
  }
  const beside = { topics: [], start: async () => {}, problems: () => [], stop: async () => {} }
  const collector = createServer({ ...partsIn(dir, 0, ['collector']), broker: flickering(), beside })
  await collector.start()
  await collector.stop()
  const gateway = createServer({ ...partsIn(dir), broker: flickering(), beside })
  await assert.rejects(gateway.start(), { code: 'BROKER_UNAVAILABLE' })
  await gateway.stopped
  rmSync(dir, { recursive: true })
})

function serverIn(dir: string, httpPort = 0): Server {
  return createServer(partsIn(dir, httpPort))
}

function partsIn(dir: string, httpPort = 0, roles?: 'collector'[]): ServerParts {
  return {
    options: requireOptions(
      {
        data: dir,
        ...(roles === undefined ? {} : { roles }),
        http: { listen: `127.0.0.1:${httpPort}` },
        grpc: { listen: '127.0.0.1:0' },
        queues: { echo: {} },
      },
      { hostname: 'test', folderOf: () => dir },
    ),
    broker: embeddedBroker({ dir: join(dir, 'log') }),
    store: embeddedStore({ dir: join(dir, 'store'), retentionMs: 60_000 }),
    clock: systemClock,
    random: systemRandom,
    telemetry: { log: pino({ level: 'silent' }), metrics: createMetrics() },
  }
}
