import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import { systemClock } from '@forebay/broker'
import fc from 'fast-check'
import { HttpTarget } from '../src/execute/http-target.ts'
import { piecesOf } from '../src/execute/text-pieces.ts'
import { CHUNK_BYTES_MAX, CHUNKS_WINDOW_BYTES } from '../src/task.ts'
import { attemptOf, HeardOutput } from './execute-fixtures.ts'

const LINES = 'application/x-ndjson'
const EVENTS = 'text/event-stream; charset=utf-8'

describe('HTTP targets that stream', () => {
  it('make each line a chunk as soon as it is there, and the whole body the result', async () => {
    await using at = await serveStream(LINES)
    const output = new HeardOutput()
    const running = at.target.run(attemptOf({}, { output }))
    const response = await at.response
    response.write('{"a":1}\n{"b":')
    await output.until(({ said }) => said.length === 1)
    response.write('2}\r\n\n[3]')
    await output.until(({ said }) => said.length === 2)
    response.end()
    const outcome = await running
    assert.deepEqual(output.texts, ['{"a":1}', '{"b":2}', '[3]'])
    assert.ok(output.said.every((one) => one.kind === 'chunk' && one.contentType === 'application/json'))
    assert.ok(outcome.kind === 'succeeded')
    assert.equal(outcome.contentType, LINES)
    assert.equal(Buffer.from(outcome.payload).toString(), '{"a":1}\n{"b":2}\r\n\n[3]')
  })

  it('make the data of each event a chunk, and nothing of comments, names and events that are cut off', async () => {
    await using at = await serveStream(EVENTS)
    const output = new HeardOutput()
    const running = at.target.run(attemptOf({}, { output }))
    const body =
      ': hello\n\nevent: token\nid: 1\ndata: grüß\n\ndata:two\ndata: lines\r\n\r\ndata\n\ndata: [DONE]\r\rdata: cut off'
    ;(await at.response).end(body)
    const outcome = await running
    assert.deepEqual(output.texts, ['grüß', 'two\nlines', '', '[DONE]'])
    assert.ok(outcome.kind === 'succeeded')
    assert.equal(Buffer.from(outcome.payload).toString(), body)
  })

  it('are read no faster than the log takes the chunks; what is larger than a result is there as chunks', async () => {
    await using at = await serveStream(LINES)
    const output = new HeardOutput()
    const running = at.target.run(attemptOf({}, { output }))
    const response = await at.response
    const line = `"${'x'.repeat(99_998)}"`
    for (let n = 0; n < 30; n++) response.write(`${line}\n`)
    response.end()
    await output.until(({ said }) => said.length * line.length > CHUNKS_WINDOW_BYTES - CHUNK_BYTES_MAX)
    await systemClock.sleep(100)
    assert.ok(output.said.length * line.length <= CHUNKS_WINDOW_BYTES, `${output.said.length} lines`)
    while (output.said.length < 30) {
      output.keep(1)
      await systemClock.sleep(1)
    }
    output.keep()
    const outcome = await running
    assert.ok(outcome.kind === 'succeeded')
    assert.deepEqual(
      [Buffer.from(outcome.payload).toString(), outcome.contentType],
      ['{"chunks":30}', 'application/json'],
    )
  })

  it('end dead on a line, or an event, that is larger than a chunk may be, however it comes', async () => {
    for (const [type, begin, more] of [
      [LINES, '"', 'x'.repeat(1_000)],
      [EVENTS, 'data: x\n', `data: ${'x'.repeat(1_000)}\n`],
    ] as const) {
      await using at = await serveStream(type)
      const running = at.target.run(attemptOf())
      const response = await at.response
      response.write(begin)
      for (let n = 0; n < 300; n++) response.write(more)
      const outcome = await running
      assert.ok(outcome.kind === 'failed')
      assert.deepEqual([outcome.code, outcome.then], ['OUTPUT_TOO_LARGE', 'dead'])
    }
  })

  it('are retried when the answer breaks off, and say nothing once nobody waits', async () => {
    await using at = await serveStream(LINES)
    const output = new HeardOutput()
    const running = at.target.run(attemptOf({}, { output }))
    const response = await at.response
    response.write('1\n')
    await output.until(({ said }) => said.length === 1)
    response.destroy()
    const broken = await running
    assert.ok(broken.kind === 'failed')
    assert.deepEqual([broken.code, broken.then], ['TARGET_UNAVAILABLE', 'retry'])

    await using again = await serveStream(LINES)
    const attempt = attemptOf({}, { output })
    const cancelled = again.target.run(attempt)
    const second = await again.response
    const closed = once(second, 'close')
    second.write('2\n')
    await output.until(({ said }) => said.length === 2)
    again.target.cancel(attempt)
    second.write('3\n')
    assert.equal((await cancelled).kind, 'cancelled')
    await closed
    assert.deepEqual(output.texts, ['1', '2'])
  })
})

it('pieces of a text are the same however it is cut', () => {
  const text = fc
    .array(fc.constantFrom('data: a', 'data:b', 'id: 1', ': c', '\n', '\r', '\r\n', '\n\n', 'x'))
    .map((all) => all.join(''))
  fc.assert(
    fc.property(fc.constantFrom(LINES, 'text/event-stream'), text, fc.array(fc.nat(60)), (type, whole, cuts) => {
      const at = [0, ...cuts.filter((cut) => cut < whole.length).sort((one, other) => one - other), whole.length]
      const cut = piecesOf(type)!
      const parts = at.slice(1).flatMap((end, index) => [...cut.push(whole.slice(at[index], end))])
      const uncut = piecesOf(type)!
      assert.deepEqual([...parts, ...cut.end()], [...uncut.push(whole), ...uncut.end()])
      assert.equal(cut.openChars, uncut.openChars)
    }),
  )
})

/** A target whose one answer the test writes. */
async function serveStream(contentType: string) {
  const answering = Promise.withResolvers<ServerResponse>()
  const listener: RequestListener = (_request, response) => {
    response.writeHead(200, { 'content-type': contentType }).flushHeaders()
    answering.resolve(response)
  }
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const target = new HttpTarget({ url: `http://127.0.0.1:${port}`, resultBytesMax: 100_000, clock: systemClock })
  return {
    target,
    response: answering.promise,
    async [Symbol.asyncDispose]() {
      await target.stop(AbortSignal.abort())
      server.closeAllConnections()
      server.close()
    },
  }
}
