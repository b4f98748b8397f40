import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { Metadata, status } from '@grpc/grpc-js'
import { STATUS_TABLE } from '../src/execute/status-table.ts'
import type { Outcome } from '../src/task.ts'
import { attemptOf } from './execute-fixtures.ts'
import { grpcTarget, type Place, SHOP, serveShop, writeDescriptorSet } from './execute-grpc-fixtures.ts'

const place: Place = (call, answer) => {
  const { lines, note } = call.request
  const metadata = Object.fromEntries(
    Object.entries(call.metadata.getMap()).map(([name, value]) => [name, String(value)]),
  )
  answer(null, { order: 'o-1', pieces: (lines ?? []).reduce((sum, line) => sum + line.pieces, 0), note, metadata })
}

const refuse =
  (code: number, details: string, metadata = new Metadata()): Place =>
  (_call, answer) =>
    answer({ code, details, metadata })

function jsonOf(outcome: Outcome): Record<string, unknown> {
  assert.equal(outcome.kind, 'succeeded', JSON.stringify(outcome))
  assert.ok(outcome.kind === 'succeeded')
  assert.equal(outcome.contentType, 'application/json')
  return JSON.parse(Buffer.from(outcome.payload).toString())
}

function task(json: unknown) {
  return { payload: Buffer.from(JSON.stringify(json)) }
}

describe('gRPC targets by reflection', () => {
  for (const reflection of ['v1', 'v1alpha'] as const) {
    it(`calls an unmodified server with JSON, by reflection ${reflection}`, async () => {
      using shop = await serveShop(place, { reflection })
      await using target = grpcTarget(shop.address)
      const json = {
        customer: 'ann',
        lines: [{ article: 'a', pieces: 2 }, { pieces: 3 }],
        placedAt: '2026-01-02T03:04:05Z',
        note: Buffer.from([0, 255]).toString('base64'),
      }
      const headers = [
        ['traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'],
        ['x-own', 'kept back'],
        ['tracestate', 'nöt ascii'],
      ] as const
      const answer = jsonOf(await target.run(attemptOf({ id: 't-9', headers, ...task(json) }, { number: 2 })))
      assert.deepEqual([answer.order, answer.pieces, answer.note], ['o-1', 5, 'AP8='])
      const seen = answer.metadata as Record<string, string>
      assert.deepEqual(
        [seen['forebay-task'], seen['forebay-attempt'], seen.traceparent, seen.tracestate, seen['x-own']],
        ['t-9', '2', headers[0][1], undefined, undefined],
      )
    })
  }

  it('names the member of the JSON that does not fit', async () => {
    using shop = await serveShop(place)
    await using target = grpcTarget(shop.address)
    const faultOf = async (payload: string) => {
      const outcome = await target.run(attemptOf({ payload: Buffer.from(payload) }))
      assert.ok(outcome.kind === 'failed')
      assert.deepEqual([outcome.code, outcome.then], ['TARGET_REFUSED', 'final'])
      return outcome.message
    }
    assert.match(await faultOf('{'), /^The task is not JSON/)
    assert.match(await faultOf('[1]'), /^The task does not fit shop\.v1\.PlaceRequest/)
    assert.match(await faultOf('{"custmer":"a"}'), /^'\/custmer' of the task .* key "custmer" is unknown/)
    assert.match(await faultOf('{"lines":[{"pieces":1},{"pieces":"many"}]}'), /^'\/lines\/1\/pieces' of the task/)
    assert.match(await faultOf('{"placedAt":"yesterday"}'), /^'\/placedAt' of the task/)
    assert.match(await faultOf('{"lines":{}}'), /^'\/lines' of the task/)
    assert.match(await faultOf('{"lines":[{"a/b~":1}]}'), /^'\/lines\/0\/a~1b~0' of the task/)
    assert.match(await faultOf('{"customer":7}'), /^'\/customer' of the task/)
  })

  it('refuses content types that are neither JSON nor protobuf', async () => {
    await using target = grpcTarget('127.0.0.1:1')
    const outcome = await target.run(attemptOf({ contentType: 'text/csv' }))
    assert.ok(outcome.kind === 'failed')
    assert.deepEqual([outcome.code, outcome.then], ['TARGET_REFUSED', 'final'])
    assert.match(outcome.message, /"text\/csv".*application\/protobuf/)
  })

  it('passes protobuf through as it is, both ways, and needs no descriptors for it', async () => {
    using shop = await serveShop((call, answer) => answer(null, { note: call.request.note! }), { reflection: 'none' })
    await using target = grpcTarget(shop.address)
    const payload = Buffer.from([0x22, 2, 0, 255])
    const outcome = await target.run(attemptOf({ payload, contentType: 'application/protobuf' }))
    assert.ok(outcome.kind === 'succeeded')
    assert.equal(outcome.contentType, 'application/protobuf')
    assert.deepEqual([...outcome.payload], [0x1a, 2, 0, 255])
  })

  it('says retry while the server is down, and works when it has come up', async () => {
    const port = await serveShop(place).then((shop) => {
      shop[Symbol.dispose]()
      return shop.port
    })
    await using target = grpcTarget(`127.0.0.1:${port}`)
    const down = await target.run(attemptOf())
    assert.ok(down.kind === 'failed')
    assert.deepEqual([down.code, down.then], ['TARGET_UNAVAILABLE', 'retry'])
    assert.match(down.message, /could not be asked for 'shop\.v1\.Orders'/)
    using _shop = await serveShop(place, { port })
    for (;;) {
      const outcome = await target.run(attemptOf())
      if (outcome.kind === 'succeeded') break
      assert.ok(outcome.kind === 'failed')
      assert.deepEqual([outcome.code, outcome.then], ['TARGET_UNAVAILABLE', 'retry'])
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  })

  it('works at a name of which some addresses lead nowhere, without spending attempts on those', async () => {
    using shop = await serveShop(place)
    const lookUp = async () => ['127.0.0.7', '127.0.0.1', '127.0.0.8']
    await using target = grpcTarget(`orders:${shop.port}`, {}, { lookUp })
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => target.run(attemptOf())))
    const failures = outcomes.filter(({ kind }) => kind !== 'succeeded')
    assert.deepEqual(failures, [])
  })

  it('says retry when no address of a name can be reached, or the name leads nowhere', async () => {
    await using silent = grpcTarget('orders:1', {}, { lookUp: async () => ['127.0.0.7', '127.0.0.8'] })
    await using nameless = grpcTarget('orders:1', {}, { lookUp: () => Promise.reject(new Error('ENOTFOUND orders')) })
    for (const target of [silent, nameless]) {
      const outcome = await target.run(attemptOf())
      assert.ok(outcome.kind === 'failed')
      assert.deepEqual([outcome.code, outcome.then], ['TARGET_UNAVAILABLE', 'retry'])
    }
  })

  it('offers the nearest name of a service or method that the server lacks', async () => {
    using shop = await serveShop(place)
    await using service = grpcTarget(shop.address, { service: 'shop.v1.Order' })
    const noService = await service.run(attemptOf())
    assert.ok(noService.kind === 'failed')
    assert.equal(noService.then, 'retry')
    assert.match(noService.message, /no service 'shop\.v1\.Order'; did you mean 'shop\.v1\.Orders'\?/)
    await using method = grpcTarget(shop.address, { method: 'Plaec' })
    const noMethod = await method.run(attemptOf())
    assert.ok(noMethod.kind === 'failed')
    assert.match(noMethod.message, /no method 'Plaec'; did you mean 'Place'\?/)
  })

  it('gives up where only an operator can help: a method that takes a stream, a server without reflection', async () => {
    using shop = await serveShop(place)
    for (const method of ['Collect', 'Haggle']) {
      await using streaming = grpcTarget(shop.address, { method })
      const streams = await streaming.run(attemptOf())
      assert.ok(streams.kind === 'failed')
      assert.deepEqual([streams.code, streams.then], ['CONFIG_INVALID', 'dead'])
      assert.match(streams.message, /takes a stream of requests/)
    }
    using mute = await serveShop(place, { reflection: 'none' })
    await using target = grpcTarget(mute.address)
    const silent = await target.run(attemptOf())
    assert.ok(silent.kind === 'failed')
    assert.deepEqual([silent.code, silent.then], ['CONFIG_INVALID', 'dead'])
    assert.match(silent.message, /offers no reflection; name a descriptor file/)
  })
})

describe('gRPC targets by descriptor file', () => {
  let dir: string
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'forebay-grpc-'))
  })
  after(() => rm(dir, { recursive: true }))

  it('calls a server without reflection', async () => {
    const descriptors = join(dir, 'shop.binpb')
    await writeDescriptorSet(descriptors, SHOP)
    using shop = await serveShop(place, { reflection: 'none' })
    await using target = grpcTarget(shop.address, { descriptors })
    assert.equal(jsonOf(await target.run(attemptOf(task({ lines: [{ pieces: 4 }] })))).pieces, 4)
  })

  it('is refused at once when it is missing, no descriptor set, or lacks the method', async () => {
    const descriptors = join(dir, 'shop-again.binpb')
    await writeDescriptorSet(descriptors, SHOP)
    const garbage = join(dir, 'garbage.binpb')
    await writeFile(garbage, 'no descriptors')
    const cases = [
      [{ descriptors: join(dir, 'none') }, /cannot be read: ENOENT/],
      [{ descriptors: garbage }, /is not a FileDescriptorSet/],
      [{ descriptors, service: 'shop.v1.Ordres' }, /did you mean 'shop\.v1\.Orders'/],
      [{ descriptors, method: 'Pace' }, /did you mean 'Place'/],
      [{ descriptors, method: 'Haggle' }, /takes a stream of requests; a target must be unary or server-streaming/],
    ] as const
    for (const [over, message] of cases) {
      assert.throws(() => grpcTarget('127.0.0.1:1', over), { code: 'CONFIG_INVALID', message })
    }
  })
})

describe('gRPC targets and what a status means', () => {
  for (const [name, row] of Object.entries(STATUS_TABLE)) {
    if (name === 'DEADLINE_EXCEEDED') continue
    it(`${name} → ${row.then}`, async () => {
      using shop = await serveShop(refuse(status[name as keyof typeof status], 'because'))
      await using target = grpcTarget(shop.address)
      const outcome = await target.run(attemptOf())
      assert.deepEqual(outcome, {
        kind: 'failed',
        code: row.code,
        message: `${name}: because`,
        then: row.then,
        worker: `grpc://${shop.address}`,
      })
    })
  }

  it('has a row for each status but OK, and takes a strange number for UNKNOWN', async () => {
    const names = Object.keys(status).filter((key) => Number.isNaN(Number(key)) && key !== 'OK')
    assert.deepEqual(Object.keys(STATUS_TABLE).sort(), names.sort())
    using shop = await serveShop(refuse(99, 'odd'))
    await using target = grpcTarget(shop.address)
    const outcome = await target.run(attemptOf())
    assert.ok(outcome.kind === 'failed')
    assert.equal(outcome.message, 'UNKNOWN: odd')
  })

  it('DEADLINE_EXCEEDED by the server or by the attempt ends it as timed out', async () => {
    using early = await serveShop(refuse(status.DEADLINE_EXCEEDED, 'too slow'))
    await using first = grpcTarget(early.address)
    assert.equal((await first.run(attemptOf())).kind, 'timed-out')
    let deadline: Date | number = 0
    using hanging = await serveShop((call) => {
      deadline = call.getDeadline()
    })
    await using second = grpcTarget(hanging.address)
    const startedMs = Date.now()
    assert.equal((await second.run(attemptOf({}, { timeoutMs: 200 }))).kind, 'timed-out')
    assert.ok(Date.now() - startedMs < 1200)
    assert.ok(Math.abs(Number(deadline) - startedMs - 200) < 150, 'grpc-timeout was sent')
  })

  it('honours the delay of google.rpc.RetryInfo, and no more than an hour of it', async () => {
    const delayed = async (seconds: number, nanos: number) => {
      const metadata = new Metadata()
      metadata.set('grpc-status-details-bin', statusDetails(seconds, nanos))
      using shop = await serveShop(refuse(status.UNAVAILABLE, 'later', metadata))
      await using target = grpcTarget(shop.address)
      const outcome = await target.run(attemptOf())
      assert.ok(outcome.kind === 'failed')
      return outcome.retryAfterMs
    }
    assert.equal(await delayed(2, 500_000_000), 2500)
    assert.equal(await delayed(1_000_000, 0), 3_600_000)
    assert.equal(await delayed(0, 0), undefined)
  })

  it('is not confused by status details that are garbage', async () => {
    const metadata = new Metadata()
    metadata.set('grpc-status-details-bin', Buffer.from([0x1a, 0xff, 0xff, 0xff]))
    using shop = await serveShop(refuse(status.UNAVAILABLE, 'later', metadata))
    await using target = grpcTarget(shop.address)
    const outcome = await target.run(attemptOf())
    assert.ok(outcome.kind === 'failed')
    assert.deepEqual([outcome.then, outcome.retryAfterMs], ['retry', undefined])
  })

  it('ends dead on a response beyond the limit, final on a request beyond the server’s', async () => {
    using shop = await serveShop((_call, answer) => answer(null, { note: Buffer.alloc(2000) }))
    await using target = grpcTarget(shop.address, {}, { resultBytesMax: 1000 })
    const large = await target.run(attemptOf())
    assert.ok(large.kind === 'failed')
    assert.deepEqual([large.code, large.then], ['RESULT_TOO_LARGE', 'dead'])
    await using second = grpcTarget(shop.address)
    const payload = Buffer.alloc(5 * 1024 * 1024)
    const refused = await second.run(attemptOf({ payload, contentType: 'application/protobuf' }))
    assert.ok(refused.kind === 'failed')
    assert.deepEqual([refused.code, refused.then], ['TARGET_REFUSED', 'final'])
  })

  it('retries a call that the server breaks off', async () => {
    const started = Promise.withResolvers<void>()
    const shop = await serveShop(() => started.resolve())
    await using target = grpcTarget(shop.address)
    const running = target.run(attemptOf())
    await started.promise
    shop[Symbol.dispose]()
    const outcome = await running
    assert.ok(outcome.kind === 'failed')
    assert.equal(outcome.then, 'retry')
  })
})

describe('gRPC targets come to an end', () => {
  it('waits for what runs, takes nothing new, then counts the rest as lost', async () => {
    const calls: (() => void)[] = []
    const started = Promise.withResolvers<void>()
    using shop = await serveShop((_call, answer) => {
      calls.push(() => answer(null, {}))
      if (calls.length === 2) started.resolve()
    })
    await using target = grpcTarget(shop.address)
    const [first, second] = [target.run(attemptOf()), target.run(attemptOf())]
    await started.promise
    const patience = new AbortController()
    const stopped = target.stop(patience.signal)
    const late = await target.run(attemptOf())
    assert.ok(late.kind === 'failed' && late.code === 'TARGET_UNAVAILABLE')
    assert.equal(target.capacity, 0)
    calls[0]!()
    assert.equal((await first).kind, 'succeeded')
    patience.abort()
    await stopped
    assert.equal((await second).kind, 'worker-lost')
  })

  it('calls off what runs when the assignment is lost', async () => {
    const cancelled = Promise.withResolvers<void>()
    const started = Promise.withResolvers<void>()
    using shop = await serveShop((call) => {
      started.resolve()
      call.on('cancelled', () => cancelled.resolve())
    })
    await using target = grpcTarget(shop.address)
    const assignment = new AbortController()
    const running = target.run(attemptOf({}, { lost: assignment.signal }))
    await started.promise
    assignment.abort()
    assert.equal((await running).kind, 'worker-lost')
    await cancelled.promise
  })
})

/** google.rpc.Status with a RetryInfo among its details. */
function statusDetails(seconds: number, nanos: number): Buffer {
  const duration = new BinaryWriter()
    .tag(1, WireType.Varint)
    .int64(seconds)
    .tag(2, WireType.Varint)
    .int32(nanos)
    .finish()
  const retryInfo = new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(duration).finish()
  const any = (name: string, value: Uint8Array) =>
    new BinaryWriter()
      .tag(1, WireType.LengthDelimited)
      .string(`type.googleapis.com/google.rpc.${name}`)
      .tag(2, WireType.LengthDelimited)
      .bytes(value)
      .finish()
  const details = new BinaryWriter()
    .tag(1, WireType.Varint)
    .int32(14)
    .tag(3, WireType.LengthDelimited)
    .bytes(any('DebugInfo', Buffer.from([0x12, 1, 120])))
    .tag(3, WireType.LengthDelimited)
    .bytes(any('RetryInfo', retryInfo))
  return Buffer.from(details.finish())
}
