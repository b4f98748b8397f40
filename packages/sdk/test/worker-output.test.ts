import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { CancelReason, FailureKind, type Outcome } from '@forebay/protocol'
import { AttemptAborted, createWorker, type Handler } from '../src/worker/worker.ts'
import { type PlayedSession, WELCOME, WorkerServer } from './worker-server.ts'

test('chunks and progress are told while the handler runs, and the outcome comes after the last chunk', async () => {
  const { session, lease, ...given } = await give(async (task, { chunk, progress }) => {
    task.progress(0.4, 'on it')
    await chunk('one')
    await chunk({ two: 2 })
    await chunk(new Uint8Array([51]))
    progress(null)
    return 'result'
  })
  await using _ = given
  assert.equal(resultOf(await session.outcome(lease)).text, 'result')
  assert.deepEqual(session.chunks(lease), [
    { text: 'one', contentType: 'text/plain; charset=utf-8' },
    { text: '{"two":2}', contentType: 'application/json' },
    { text: '3', contentType: '' },
  ])
  // Of several in one turn the last is told.
  assert.deepEqual(session.progress(lease).at(-1), { fraction: undefined, message: '' })
  assert.ok(framesOf(session, lease).endsWith('outcome'), framesOf(session, lease))
})

test('what is said in one turn of the event loop shares a frame, and frames are cut by size', async () => {
  const welcome = { chunkBytesMax: 256 * 1024, chunkWindowBytes: 4 * 1024 * 1024 }
  const piece = Buffer.alloc(200 * 1024)
  const { session, lease, ...given } = await give(
    async (_task, { chunk }) => {
      for (let n = 0; n < 100; n++) await chunk(String(n))
      await new Promise((resolve) => setTimeout(resolve, 1))
      for (let n = 0; n < 12; n++) void chunk(piece)
    },
    { welcome },
  )
  await using _ = given
  await session.outcome(lease)
  const sizes = session.frames.map(({ outputs }) => outputs.length).filter((length) => length > 0)
  assert.deepEqual(sizes, [100, 5, 5, 2])
})

test('progress is clamped to 0 to 1, no number is told as unknown, and long messages are cut', async () => {
  const told: { fraction: number | undefined; message: string }[] = []
  for (const [fraction, message] of [
    [-3, 'a'],
    [9, 'b'],
    [Number.NaN, 'c'],
    [null, 'd'.repeat(5000)],
  ] as const) {
    const { session, lease, ...given } = await give((task) => task.progress(fraction, message))
    await using _ = given
    await session.outcome(lease)
    told.push(...session.progress(lease))
  }
  assert.deepEqual(told, [
    { fraction: 0, message: 'a' },
    { fraction: 1, message: 'b' },
    { fraction: undefined, message: 'c' },
    { fraction: undefined, message: 'd'.repeat(1024) },
  ])
})

test('a chunk waits while the window is full, and goes when enough is durable', async () => {
  const sent: number[] = []
  const { session, lease, ...given } = await give(
    async (_task, { chunk }) => {
      for (let n = 1; n <= 5; n++) {
        await chunk('x'.repeat(40))
        sent.push(n)
      }
    },
    { welcome: { chunkWindowBytes: 100 } },
  )
  await using _ = given
  await session.until(() => session.chunks(lease).length === 2)
  await session.heard()
  assert.deepEqual([sent, session.chunks(lease).length], [[1, 2], 2])
  session.keep(lease, 1)
  await session.until(() => session.chunks(lease).length === 3)
  await session.heard()
  assert.deepEqual(sent, [1, 2, 3])
  // More than were ever sent: a server's fault that must not open the window wider.
  session.keep(lease, 77)
  await session.until(() => session.chunks(lease).length === 5)
  await session.outcome(lease)
})

test('the outcome waits for chunks that nobody waited for', async () => {
  const { session, lease, ...given } = await give(
    (_task, { chunk }) => {
      for (let n = 0; n < 4; n++) void chunk('x'.repeat(60))
      return 'done'
    },
    { welcome: { chunkWindowBytes: 100 } },
  )
  await using _ = given
  for (let kept = 1; kept < 4; kept++) {
    await session.until(() => session.chunks(lease).length === kept)
    assert.equal(session.outcomes.length, 0)
    session.keep(lease)
  }
  await session.outcome(lease)
  assert.equal(framesOf(session, lease), 'chunk chunk chunk chunk outcome')
})

test('a handler may use its buffer again once its chunk is on the way', async () => {
  const { session, lease, ...given } = await give(async (_task, { chunk }) => {
    const buffer = Buffer.alloc(3)
    for (const text of ['abc', 'def']) {
      buffer.write(text)
      await chunk(buffer)
    }
    buffer.fill('!')
  })
  await using _ = given
  await session.outcome(lease)
  assert.deepEqual(
    session.chunks(lease).map(({ text }) => text),
    ['abc', 'def'],
  )
})

test('a chunk that is too large, or cannot be sent, is refused with a clear error that ends the task dead', async () => {
  const loop: Record<string, unknown> = {}
  loop.itself = loop
  for (const [body, message] of [
    [Buffer.alloc(WELCOME.chunkBytesMax + 1), /A chunk has 65537 bytes, the server takes at most 65536/],
    [new Map(), /A chunk: A Map would be sent as JSON/],
    [loop, /A chunk: This value cannot be sent as JSON/],
  ] as const) {
    const { session, lease, ...given } = await give((_task, { chunk }) => chunk(body))
    await using _ = given
    const end = await session.outcome(lease)
    assert.ok(end.case === 'failure')
    assert.equal(end.value.kind, FailureKind.DEAD)
    assert.match(end.value.message, message)
  }
})

test('a refused chunk that nobody waits for leaves the worker standing', async () => {
  const { session, lease, ...given } = await give((_task, { chunk }) => {
    void chunk(Buffer.alloc(WELCOME.chunkBytesMax + 1))
    return 'fine'
  })
  await using _ = given
  assert.equal(resultOf(await session.outcome(lease)).text, 'fine')
})

test('chunks that wait are refused with the reason when the attempt is called off, and later ones too', async () => {
  const thrown = Promise.withResolvers<unknown[]>()
  const { session, lease, ...given } = await give(
    async (_task, { chunk, progress, signal }) => {
      await chunk('x'.repeat(100))
      const waiting = await chunk('y').catch((error: unknown) => error)
      const late = await chunk('z').catch((error: unknown) => error)
      progress(1)
      thrown.resolve([waiting, late, signal.reason])
    },
    { welcome: { chunkWindowBytes: 100 } },
  )
  await using _ = given
  await session.until(() => session.chunks(lease).length === 1)
  session.cancel(lease, CancelReason.OUTPUT_REFUSED)
  for (const error of await thrown.promise) {
    assert.ok(error instanceof AttemptAborted)
    assert.equal(error.why, 'output-refused')
  }
  await session.heard()
  assert.deepEqual([session.outputs.length, session.outcomes.length], [1, 0])
})

test('a handler that has returned can say nothing more', async () => {
  const late = Promise.withResolvers<unknown>()
  const over = Promise.withResolvers<void>()
  const { session, lease, ...given } = await give((_task, { chunk }) => {
    void over.promise.then(() => chunk('late')).catch(late.resolve)
    return 'done'
  })
  await using _ = given
  await session.outcome(lease)
  over.resolve()
  assert.match(String(await late.promise), /The attempt has ended/)
  assert.equal(session.outputs.length, 0)
})

test('to a server that takes no partial output, chunk() says so, progress does nothing, and generators still answer', async () => {
  const welcome = { chunkBytesMax: 0, chunkWindowBytes: 0 }
  const asked = await give(
    async (task, { chunk }) => {
      task.progress(0.5, 'half')
      await chunk('x')
    },
    { welcome },
  )
  await using _asked = asked
  const end = await asked.session.outcome(asked.lease)
  assert.ok(end.case === 'failure')
  assert.equal(end.value.kind, FailureKind.RETRYABLE)
  assert.match(end.value.message, /takes no partial output/)
  const yielding = await give(
    async function* () {
      yield 'a'
      yield 'b'
    },
    { welcome },
  )
  await using _yielding = yielding
  assert.equal(resultOf(await yielding.session.outcome(yielding.lease)).text, 'ab')
  assert.equal(asked.session.outputs.length + yielding.session.outputs.length, 0)
})

test('what a generator yields is chunks; what it returns is the result, else all chunks as one', async () => {
  const text = 'text/plain; charset=utf-8'
  const cases: [Handler, chunks: string[], result: string, contentType: string][] = [
    [
      async function* () {
        yield 'to'
        yield 'ken'
      },
      ['to', 'ken'],
      'token',
      text,
    ],
    [
      async function* () {
        yield { a: 1 }
        yield [2]
        yield 3
        yield null
      },
      ['{"a":1}', '[2]', '3', 'null'],
      '[{"a":1},[2],3,null]',
      'application/json',
    ],
    [
      async function* () {
        yield { body: '{"open":', contentType: 'application/json' }
        yield { body: '1}', contentType: 'application/json' }
      },
      ['{"open":', '1}'],
      '{"open":1}',
      'application/json',
    ],
    [
      async function* () {
        yield new Uint8Array([65])
        yield 'B'
        yield undefined
      },
      ['A', 'B', ''],
      'AB',
      '',
    ],
    [
      async function* (task) {
        task.progress(0.5)
        yield 'draft'
        return { final: true }
      },
      ['draft'],
      '{"final":true}',
      'application/json',
    ],
    [async function* () {}, [], '', ''],
    [async () => Readable.from([Buffer.from('st'), Buffer.from('ream')]), ['st', 'ream'], 'stream', ''],
  ]
  for (const [handler, chunks, result, contentType] of cases) {
    const { session, lease, ...given } = await give(handler)
    await using _ = given
    assert.deepEqual(resultOf(await session.outcome(lease)), { text: result, contentType })
    assert.deepEqual(
      session.chunks(lease).map((chunk) => chunk.text),
      chunks,
    )
  }
})

test('chunks that are together larger than a result end the task dead, unless the generator returns one', async () => {
  const welcome = { resultBytesMax: 100 }
  const yields = (result: string | undefined) =>
    async function* () {
      for (let n = 0; n < 3; n++) yield 'x'.repeat(50)
      return result
    }
  const joined = await give(yields(undefined), { welcome })
  await using _joined = joined
  const end = await joined.session.outcome(joined.lease)
  assert.ok(end.case === 'failure')
  assert.equal(end.value.kind, FailureKind.DEAD)
  assert.match(end.value.message, /together more than the 100 bytes that a result can have/)
  const returned = await give(yields('short'), { welcome })
  await using _returned = returned
  assert.equal(resultOf(await returned.session.outcome(returned.lease)).text, 'short')
  assert.equal(returned.session.chunks(returned.lease).length, 3)
})

test('a generator that throws fails its attempt; one that nobody waits for is ended at its next yield, finally and all', async () => {
  const failing = await give(async function* () {
    yield 'half'
    throw new Error('no more')
  })
  await using _failing = failing
  const end = await failing.session.outcome(failing.lease)
  assert.ok(end.case === 'failure')
  assert.equal(end.value.message, 'no more')

  const cleaned = Promise.withResolvers<number>()
  const called = await give(
    async function* () {
      let yields = 0
      try {
        for (;;) {
          yields++
          yield 'x'.repeat(60)
        }
      } finally {
        cleaned.resolve(yields)
      }
    },
    { welcome: { chunkWindowBytes: 100 } },
  )
  await using _called = called
  await called.session.until(() => called.session.chunks(called.lease).length === 1)
  called.session.cancel(called.lease, CancelReason.TIMED_OUT)
  assert.equal(await cleaned.promise, 2)
  await called.session.until(() => called.session.credits === 16)
})

/** One attempt with a handler. */
async function give(handler: Handler, options: { welcome?: Partial<typeof WELCOME> } = {}) {
  const server = await WorkerServer.start(options)
  const worker = createWorker({ server: server.address, queues: { echo: handler } })
  const session = await server.session()
  const [lease] = session.give({})
  return {
    session,
    lease: lease!,
    async [Symbol.asyncDispose]() {
      await worker.stop({ graceMs: 0 })
      server.kill()
    },
  }
}

function resultOf(end: Outcome['end']): { text: string; contentType: string } {
  assert.ok(end.case === 'success', JSON.stringify(end))
  return { text: Buffer.from(end.value.payload).toString(), contentType: end.value.contentType }
}

/** In which order things came in of one lease: outputs of a frame count before its outcomes. */
function framesOf(session: PlayedSession, lease: number): string {
  const words = session.frames.flatMap(({ outputs, outcomes }) => [
    ...outputs.filter((output) => output.lease === lease).map(({ content }) => content.case),
    ...outcomes.filter((outcome) => outcome.lease === lease).map(() => 'outcome'),
  ])
  return words.join(' ')
}
