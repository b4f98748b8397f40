import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { it } from 'node:test'
import { createWorker, type Handler } from '@forebay/sdk/worker'
import { CHUNKS_BYTES_MAX, CHUNKS_WINDOW_BYTES, type OutputSink } from '../src/task.ts'
import { attemptOf, capacityOf, serveWorkers } from './execute-fixtures.ts'

it('the SDK and this server agree on flow control: megabytes of chunks pass through the window, whole and in order', async () => {
  const chunkBytes = 100_001
  const count = 60
  const sent = createHash('sha256')
  const { outcome, heard } = await run(async function* () {
    for (let n = 0; n < count; n++) {
      const chunk = Buffer.alloc(chunkBytes, n)
      sent.update(chunk)
      yield chunk
    }
    return { chunks: count }
  })
  assert.ok(outcome.kind === 'succeeded', JSON.stringify(outcome))
  assert.equal(Buffer.from(outcome.payload).toString(), '{"chunks":60}')
  assert.equal(heard.bytes, count * chunkBytes)
  assert.ok(heard.bytes > CHUNKS_WINDOW_BYTES)
  assert.equal(heard.digest.digest('hex'), sent.digest('hex'))
})

it('an attempt of the SDK that says too much ends dead, and its handler is told why', async () => {
  const why = Promise.withResolvers<unknown>()
  const { outcome, heard } = await run(async (_task, { chunk, signal }) => {
    signal.addEventListener('abort', () => why.resolve(signal.reason.why))
    for (;;) await chunk(Buffer.alloc(200_000))
  })
  assert.ok(outcome.kind === 'failed')
  assert.deepEqual([outcome.code, outcome.then], ['OUTPUT_TOO_LARGE', 'dead'])
  assert.ok(heard.bytes <= CHUNKS_BYTES_MAX)
  assert.equal(await why.promise, 'output-refused')
})

/** One attempt, over a real connection, with a log that takes a moment for each chunk. */
async function run(handler: Handler) {
  await using served = await serveWorkers()
  await using _worker = createWorker({ server: served.address, queues: { thumbnails: handler }, onEvent: () => {} })
  await capacityOf(served.target, 1)
  const heard = { bytes: 0, digest: createHash('sha256') }
  const output: OutputSink = {
    chunk(payload) {
      heard.bytes += payload.byteLength
      heard.digest.update(payload)
      return new Promise((resolve) => setImmediate(() => resolve(true)))
    },
    progress: () => {},
  }
  return { outcome: await served.target.run(attemptOf({}, { output })), heard }
}
