import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { systemClock } from '@forebay/broker'
import { status } from '@grpc/grpc-js'
import { CHUNK_BYTES_MAX, CHUNKS_WINDOW_BYTES, type Outcome } from '../src/task.ts'
import { attemptOf, HeardOutput } from './execute-fixtures.ts'
import { grpcTarget, type Place, SHOP, serveShop, type Track, writeDescriptorSet } from './execute-grpc-fixtures.ts'

const place: Place = (_call, answer) => answer(null, {})

/** As many messages as the task has lines. */
const track: Track = (call) => {
  for (const [index] of (call.request.lines ?? []).entries()) call.write({ order: `o-${index}`, pieces: index })
  call.end()
}

function lines(count: number) {
  const json = { lines: Array.from({ length: count }, () => ({ pieces: 1 })) }
  return { payload: Buffer.from(JSON.stringify(json)) }
}

const STREAMING = { method: 'Track' }

describe('server-streaming gRPC targets', () => {
  it('make each message a chunk, and all together the result', async () => {
    using shop = await serveShop(place, { track })
    await using target = grpcTarget(shop.address, STREAMING)
    for (const count of [0, 1, 3]) {
      const output = new HeardOutput()
      const outcome = await target.run(attemptOf(lines(count), { output }))
      const messages = Array.from({ length: count }, (_, n) =>
        n === 0 ? { order: 'o-0' } : { order: `o-${n}`, pieces: n },
      )
      assert.deepEqual(
        output.texts.map((text) => JSON.parse(text)),
        messages,
      )
      assert.ok(output.said.every((one) => one.kind === 'chunk' && one.contentType === 'application/json'))
      assert.deepEqual(JSON.parse(resultOf(outcome, 'application/json').toString()), messages)
    }
  })

  it('pass protobuf on as it is: raw chunks, and a result of messages each behind its size', async () => {
    using shop = await serveShop(place, { track })
    await using target = grpcTarget(shop.address, STREAMING)
    const output = new HeardOutput()
    const payload = Buffer.from([0x12, 0, 0x12, 0])
    const outcome = await target.run(attemptOf({ payload, contentType: 'application/protobuf' }, { output }))
    const first = Buffer.from('\x0a\x03o-0\x10\x00')
    const second = Buffer.from('\x0a\x03o-1\x10\x01')
    assert.deepEqual(output.texts, [first.toString(), second.toString()])
    const result = resultOf(outcome, 'application/protobuf; encoding=delimited')
    assert.deepEqual([...result], [first.length, ...first, second.length, ...second])
  })

  it('are known by a descriptor file as well', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'forebay-grpc-'))
    try {
      const descriptors = join(dir, 'shop.binpb')
      await writeDescriptorSet(descriptors, SHOP)
      using shop = await serveShop(place, { track, reflection: 'none' })
      await using target = grpcTarget(shop.address, { ...STREAMING, descriptors })
      const outcome = await target.run(attemptOf(lines(2)))
      assert.equal(JSON.parse(resultOf(outcome, 'application/json').toString()).length, 2)
    } finally {
      await rm(dir, { recursive: true })
    }
  })

  it('are read no faster than the log takes the chunks', async () => {
    const total = 60
    let written = 0
    const large: Track = async (call) => {
      for (; written < total; written++) {
        if (!call.write({ order: 'x'.repeat(100_000) })) await new Promise((resolve) => call.once('drain', resolve))
      }
      call.end()
    }
    using shop = await serveShop(place, { track: large })
    await using target = grpcTarget(shop.address, STREAMING, { resultBytesMax: 300_000 })
    const output = new HeardOutput()
    const running = target.run(attemptOf({}, { output }))
    await output.until(({ said }) => said.length * 100_000 > CHUNKS_WINDOW_BYTES - CHUNK_BYTES_MAX)
    await systemClock.sleep(200)
    const waiting = output.said.length
    assert.ok(waiting * 100_000 <= CHUNKS_WINDOW_BYTES, `${waiting} messages`)
    assert.ok(written < total, `${written} written`)
    while (output.said.length < total) {
      output.keep(1)
      await systemClock.sleep(1)
    }
    // Too large for a result: everything is there as chunks.
    const outcome = await running
    assert.equal(resultOf(outcome, 'application/json').toString(), `{"chunks":${total}}`)
  })

  it('fail as their status says, also after messages', async () => {
    const breaking: Track = (call) => {
      call.write({ order: 'o-1' })
      setTimeout(() => call.emit('error', { code: status.INVALID_ARGUMENT, details: 'no such line' }), 20)
    }
    using shop = await serveShop(place, { track: breaking })
    await using target = grpcTarget(shop.address, STREAMING)
    const output = new HeardOutput()
    const outcome = await target.run(attemptOf({}, { output }))
    assert.ok(outcome.kind === 'failed')
    assert.deepEqual([outcome.code, outcome.then], ['TARGET_REFUSED', 'final'])
    assert.match(outcome.message, /INVALID_ARGUMENT: no such line/)
    assert.deepEqual(output.texts, ['{"order":"o-1"}'])
  })

  it('are called off when a message is larger than a chunk may be', async () => {
    const cancelled = Promise.withResolvers<void>()
    const large: Track = (call) => {
      call.on('cancelled', () => cancelled.resolve())
      call.write({ order: 'x'.repeat(CHUNK_BYTES_MAX) })
    }
    using shop = await serveShop(place, { track: large })
    await using target = grpcTarget(shop.address, STREAMING)
    const outcome = await target.run(attemptOf())
    assert.ok(outcome.kind === 'failed')
    assert.deepEqual([outcome.code, outcome.then], ['OUTPUT_TOO_LARGE', 'dead'])
    await cancelled.promise
  })

  it('say nothing more once their time is up, or somebody cancels, and the server is told', async () => {
    for (const how of ['timed-out', 'cancelled'] as const) {
      const called = Promise.withResolvers<void>()
      const off = Promise.withResolvers<void>()
      const endless: Track = (call) => {
        const timer = setInterval(() => call.write({ order: 'o' }), 5)
        call.on('cancelled', () => {
          clearInterval(timer)
          off.resolve()
        })
        called.resolve()
      }
      using shop = await serveShop(place, { track: endless })
      await using target = grpcTarget(shop.address, STREAMING)
      const output = new HeardOutput()
      const attempt = attemptOf({}, { output, timeoutMs: how === 'timed-out' ? 300 : 10_000 })
      const running = target.run(attempt)
      await called.promise
      await output.until(({ said }) => said.length >= 2)
      if (how === 'cancelled') target.cancel(attempt)
      assert.equal((await running).kind, how)
      const said = output.said.length
      await off.promise
      await systemClock.sleep(20)
      assert.equal(output.said.length, said)
    }
  })
})

function resultOf(outcome: Outcome, contentType: string): Buffer {
  assert.ok(outcome.kind === 'succeeded', JSON.stringify(outcome))
  assert.equal(outcome.contentType, contentType)
  return Buffer.from(outcome.payload)
}
