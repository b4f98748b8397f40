import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import { systemClock } from '@forebay/broker'
import { HttpTarget } from '../src/execute/http-target.ts'
import type { Outcome } from '../src/task.ts'
import { attemptOf } from './execute-fixtures.ts'

async function serve(listener: RequestListener) {
  const server: Server = createServer(listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.dispose]() {
      server.closeAllConnections()
      server.close()
    },
  }
}

function httpTarget(url: string, resultBytesMax = 1000) {
  const target = new HttpTarget({ url, resultBytesMax, clock: systemClock })
  return Object.assign(target, { [Symbol.asyncDispose]: () => target.stop(AbortSignal.abort()) })
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  return Buffer.concat(await request.toArray())
}

/** Runs one attempt against a server that answers so. */
async function answered(
  status: number,
  headers: Record<string, string> = {},
  body: string | Buffer = '',
): Promise<Outcome> {
  using served = await serve((_request, response) => {
    response.writeHead(status, headers).end(body)
  })
  await using target = httpTarget(served.url)
  return await target.run(attemptOf())
}

describe('HTTP targets', () => {
  it('post the bytes with their content type, the task, the attempt and the trace, and take the answer as it is', async () => {
    const seen = Promise.withResolvers<{ request: IncomingMessage; body: Buffer }>()
    using served = await serve(async (request, response) => {
      seen.resolve({ request, body: await bodyOf(request) })
      response.writeHead(201, { 'content-type': 'image/png' }).end(Buffer.from([137, 80, 0, 255]))
    })
    await using target = httpTarget(`${served.url}/jobs/new?fast=1`)
    const payload = Buffer.from([0, 1, 255])
    const headers = [
      ['traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'],
      ['tracestate', 'a=1\r\nx-evil: 1'],
      ['x-own', 'kept back'],
    ] as const
    const outcome = await target.run(
      attemptOf({ id: 't-7', payload, contentType: 'image/jpeg', headers }, { number: 3 }),
    )
    assert.ok(outcome.kind === 'succeeded')
    assert.deepEqual([...outcome.payload], [137, 80, 0, 255])
    assert.equal(outcome.contentType, 'image/png')
    const { request, body } = await seen.promise
    assert.deepEqual([request.method, request.url], ['POST', '/jobs/new?fast=1'])
    assert.deepEqual([...body], [0, 1, 255])
    const { 'content-type': type, traceparent, tracestate } = request.headers
    assert.deepEqual([type, traceparent, tracestate], ['image/jpeg', headers[0][1], undefined])
    assert.deepEqual([request.headers['forebay-task'], request.headers['forebay-attempt']], ['t-7', '3'])
    assert.deepEqual([request.headers['x-own'], request.headers['x-evil']], [undefined, undefined])
  })

  it('take an answer without content type or body, and never send a content type that is none', async () => {
    const outcome = await answered(204)
    assert.ok(outcome.kind === 'succeeded')
    assert.deepEqual([outcome.payload.byteLength, outcome.contentType], [0, 'application/octet-stream'])
    using served = await serve((request, response) => response.end(request.headers['content-type']))
    await using target = httpTarget(served.url)
    const echoed = await target.run(attemptOf({ contentType: 'text/plain\r\nx-evil: 1' }))
    assert.ok(echoed.kind === 'succeeded')
    assert.equal(Buffer.from(echoed.payload).toString(), 'application/octet-stream')
  })

  const rows = [
    [408, 'retry', 'WORKER_FAILED'],
    [425, 'retry', 'WORKER_FAILED'],
    [429, 'retry', 'TARGET_UNAVAILABLE'],
    [500, 'retry', 'WORKER_FAILED'],
    [502, 'retry', 'TARGET_UNAVAILABLE'],
    [503, 'retry', 'TARGET_UNAVAILABLE'],
    [504, 'retry', 'TARGET_UNAVAILABLE'],
    [599, 'retry', 'WORKER_FAILED'],
    [400, 'final', 'TARGET_REFUSED'],
    [403, 'final', 'TARGET_REFUSED'],
    [404, 'final', 'TARGET_REFUSED'],
    [409, 'final', 'TARGET_REFUSED'],
    [422, 'final', 'TARGET_REFUSED'],
    [501, 'final', 'TARGET_REFUSED'],
    [505, 'final', 'TARGET_REFUSED'],
    [401, 'dead', 'TARGET_REFUSED'],
    [407, 'dead', 'TARGET_REFUSED'],
  ] as const
  for (const [status, then, code] of rows) {
    it(`${status} → ${then}`, async () => {
      const outcome = await answered(status, { 'content-type': 'application/json' }, '{"error":"why"}')
      assert.ok(outcome.kind === 'failed')
      assert.deepEqual([outcome.then, outcome.code], [then, code])
      assert.equal(outcome.message, `The target answered ${status}: {"error":"why"}`)
    })
  }

  it('do not follow redirects', async () => {
    let followed = false
    using served = await serve((request, response) => {
      if (request.url === '/elsewhere') followed = true
      response.writeHead(307, { location: '/elsewhere' }).end()
    })
    await using target = httpTarget(`${served.url}/`)
    const outcome = await target.run(attemptOf())
    assert.ok(outcome.kind === 'failed')
    assert.deepEqual([outcome.then, outcome.code], ['dead', 'TARGET_REFUSED'])
    assert.equal(outcome.message, 'The target answered 307 to /elsewhere, which is not followed.')
    assert.equal(followed, false)
  })

  it('honour Retry-After in seconds and as a date, clamped to an hour, and pass over nonsense', async () => {
    const after = async (value: string) => {
      const outcome = await answered(503, { 'retry-after': value })
      assert.ok(outcome.kind === 'failed')
      return outcome.retryAfterMs
    }
    assert.equal(await after('7'), 7000)
    assert.equal(await after('999999'), 3_600_000)
    const dated = await after(new Date(Date.now() + 60_000).toUTCString())
    assert.ok(dated !== undefined && dated > 50_000 && dated <= 60_000)
    assert.equal(await after(new Date(0).toUTCString()), undefined)
    assert.equal(await after('soon'), undefined)
    assert.equal(await after('-5'), undefined)
  })

  it('show a beginning of a text body only, without control characters', async () => {
    const long = await answered(
      400,
      { 'content-type': 'text/plain; charset=utf-8' },
      `\u001b[31m${'é'.repeat(100_000)}`,
    )
    assert.ok(long.kind === 'failed')
    assert.ok(Buffer.byteLength(long.message) < 1100)
    assert.match(long.message, /^The target answered 400: \[31mé+$/)
    const image = await answered(400, { 'content-type': 'image/png' }, Buffer.from([1, 2, 3]))
    assert.ok(image.kind === 'failed')
    assert.equal(image.message, 'The target answered 400.')
  })

  it('stop reading a result that is too large, however long it goes on', async () => {
    const closed = Promise.withResolvers<void>()
    using served = await serve((_request, response) => {
      const timer = setInterval(() => response.write(Buffer.alloc(600)), 1)
      response.on('close', () => {
        clearInterval(timer)
        closed.resolve()
      })
    })
    await using target = httpTarget(served.url)
    const outcome = await target.run(attemptOf())
    assert.ok(outcome.kind === 'failed')
    assert.deepEqual([outcome.code, outcome.then], ['RESULT_TOO_LARGE', 'dead'])
    await closed.promise
  })

  it('refuse an encoded answer that nobody asked for', async () => {
    const outcome = await answered(
      200,
      { 'content-encoding': 'gzip', 'content-type': 'text/plain' },
      Buffer.from([31, 139]),
    )
    assert.ok(outcome.kind === 'failed')
    assert.deepEqual([outcome.code, outcome.then], ['WORKER_PROTOCOL', 'retry'])
  })

  it('time out a target that hangs before or amid its answer, and close the connection', async () => {
    for (const starts of [false, true]) {
      const closed = Promise.withResolvers<void>()
      using served = await serve((_request, response) => {
        response.on('close', () => closed.resolve())
        if (starts) response.write('beginning')
      })
      await using target = httpTarget(served.url)
      const startedMs = performance.now()
      const outcome = await target.run(attemptOf({}, { timeoutMs: 80 }))
      assert.equal(outcome.kind, 'timed-out')
      assert.ok(performance.now() - startedMs < 1080)
      await closed.promise
    }
  })

  it('retry when nobody listens, and when the answer breaks off', async () => {
    const served = await serve(() => {})
    served[Symbol.dispose]()
    await using target = httpTarget(served.url)
    const nobody = await target.run(attemptOf())
    assert.ok(nobody.kind === 'failed')
    assert.deepEqual([nobody.code, nobody.then], ['TARGET_UNAVAILABLE', 'retry'])
    using breaking = await serve((_request, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('half', () => response.destroy())
    })
    await using second = httpTarget(breaking.url)
    const half = await second.run(attemptOf())
    assert.ok(half.kind === 'failed')
    assert.deepEqual([half.code, half.then], ['TARGET_UNAVAILABLE', 'retry'])
    assert.match(half.message, /broke off its answer/)
  })

  it('take as many at once as they have connections, and say when there is room again', async () => {
    const waiting: (() => void)[] = []
    const full = Promise.withResolvers<void>()
    using served = await serve((_request, response) => {
      waiting.push(() => response.end())
      if (waiting.length === 256) full.resolve()
    })
    await using target = httpTarget(served.url)
    const running: Promise<Outcome>[] = []
    while (target.capacity > 0) running.push(target.run(attemptOf()))
    assert.equal(running.length, 256)
    await full.promise
    const room = new Promise<void>((resolve) => {
      target.onCapacity = resolve
    })
    waiting[0]!()
    await room
    assert.equal(target.capacity, 1)
    for (const answer of waiting.slice(1)) answer()
    for (const outcome of await Promise.all(running)) assert.equal(outcome.kind, 'succeeded')
  })

  it('on a stop wait for what runs, take nothing new, and count the rest as lost', async () => {
    const started = Promise.withResolvers<void>()
    using served = await serve(() => started.resolve())
    await using target = httpTarget(served.url)
    const running = target.run(attemptOf())
    await started.promise
    const patience = new AbortController()
    const stopped = target.stop(patience.signal)
    const late = await target.run(attemptOf())
    assert.ok(late.kind === 'failed' && late.code === 'TARGET_UNAVAILABLE')
    patience.abort()
    await stopped
    assert.equal((await running).kind, 'worker-lost')
    await target.stop(AbortSignal.abort())
  })
})
