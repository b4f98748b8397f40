import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FailureKind, type Outcome } from '@forebay/protocol'
import { createWorker, DeadError, FinalError, type Handler, RetryError } from '../src/worker/worker.ts'
import { WorkerServer } from './worker-server.ts'

test('a worker says which queues it serves, its name, and how much it can take', async () => {
  await using server = await WorkerServer.start()
  await using _worker = createWorker({
    server: server.address,
    queues: { one: () => {}, two: () => {} },
    name: 'w-1',
    version: '2.0.0',
    concurrency: 7,
  })
  const session = await server.session()
  assert.deepEqual(session.hello?.queues, ['one', 'two'])
  assert.equal(session.hello?.worker, 'w-1')
  assert.equal(session.hello?.version, '2.0.0')
  assert.equal(session.credits, 7)
})

test('a handler sees the task as it was handed in', async () => {
  await using server = await WorkerServer.start()
  const seen = Promise.withResolvers<unknown>()
  await using _worker = createWorker({
    server: server.address,
    queues: {
      echo: (task, { attempt, signal }) =>
        seen.resolve({
          id: task.id,
          queue: task.queue,
          key: task.key,
          attempt: [task.attempt, attempt],
          contentType: task.contentType,
          headers: { ...task.headers },
          bytes: [...task.bytes()],
          text: task.text(),
          json: task.json(),
          aborted: signal.aborted,
        }),
    },
  })
  const session = await server.session()
  session.give({
    taskId: 'abc',
    number: 3,
    key: 'user-7',
    payload: Buffer.from('[1]'),
    contentType: 'application/json',
    headers: [{ $typeName: 'forebay.worker.v1.Header', name: 'traceparent', value: '00-1' }],
  })
  assert.deepEqual(await seen.promise, {
    id: 'abc',
    queue: 'echo',
    key: 'user-7',
    attempt: [3, 3],
    contentType: 'application/json',
    headers: { traceparent: '00-1' },
    bytes: [91, 49, 93],
    text: '[1]',
    json: [1],
    aborted: false,
  })
})

test('bytes, strings, JSON, nothing and a named type each arrive as what they are', async () => {
  for (const [returned, bytes, contentType] of [
    [new Uint8Array([0, 255]), '\x00\xff', ''],
    ['grüß', 'gr\xc3\xbc\xc3\x9f', 'text/plain; charset=utf-8'],
    [{ a: [1, null] }, '{"a":[1,null]}', 'application/json'],
    [null, 'null', 'application/json'],
    [undefined, '', ''],
    [{ body: new Uint8Array([1]), contentType: 'image/png' }, '\x01', 'image/png'],
    [{ body: { a: 1 }, contentType: 'application/vnd.a+json' }, '{"a":1}', 'application/vnd.a+json'],
  ] as const) {
    const end = await endOf(async () => returned)
    assert.equal(end.case, 'success')
    assert.ok(end.case === 'success')
    assert.equal(Buffer.from(end.value.payload).toString('latin1'), bytes)
    assert.equal(end.value.contentType, contentType)
  }
})

test('the type of an error says whether another attempt makes sense, its message says why', async () => {
  for (const [thrown, expected] of [
    [new Error('no luck'), { message: 'no luck', kind: FailureKind.RETRYABLE, retryAfterMs: 0 }],
    [
      new RetryError('later', { afterMs: 1500.2 }),
      { message: 'later', kind: FailureKind.RETRYABLE, retryAfterMs: 1501 },
    ],
    [new RetryError('x', { afterMs: Number.NaN }), { message: 'x', kind: FailureKind.RETRYABLE, retryAfterMs: 0 }],
    [new RetryError('x', { afterMs: 1e15 }), { message: 'x', kind: FailureKind.RETRYABLE, retryAfterMs: 2 ** 32 - 1 }],
    [new FinalError('bad size'), { message: 'bad size', kind: FailureKind.FINAL, retryAfterMs: 0 }],
    [new DeadError('look at it'), { message: 'look at it', kind: FailureKind.DEAD, retryAfterMs: 0 }],
    ['text', { message: 'The handler threw text', kind: FailureKind.RETRYABLE, retryAfterMs: 0 }],
    [undefined, { message: 'The handler threw undefined', kind: FailureKind.RETRYABLE, retryAfterMs: 0 }],
  ] as const) {
    assert.deepEqual(await failureOf(() => Promise.reject(thrown)), expected)
  }
  assert.match((await failureOf(() => Promise.reject(10n))).message, /cannot be shown/)
  assert.equal((await failureOf(() => Promise.reject(new Error('x'.repeat(1_000_000))))).message.length, 4_096)
})

test('a handler that throws at once is as one that rejects', async () => {
  const { message } = await failureOf(() => {
    throw new FinalError('at once')
  })
  assert.equal(message, 'at once')
})

test('a body that is not JSON ends the task when the handler asks for JSON', async () => {
  const failure = await failureOf((task) => task.json(), { payload: Buffer.from('{"a":') })
  assert.equal(failure.kind, FailureKind.FINAL)
  assert.match(failure.message, /not JSON/)
})

test('a result that cannot be sent ends the task dead and says why', async () => {
  const cycle: { self?: unknown } = {}
  cycle.self = cycle
  for (const [returned, message] of [
    [{ n: 1n }, /BigInt/],
    [cycle, /circular/i],
    [() => 1, /function/],
    [Symbol('s'), /symbol/],
    [new Map([[1, 2]]), /A Map would be sent as JSON '\{\}'/],
    [new Blob(['x']), /A Blob/],
    [new Uint8Array(1024 * 1024 + 1), /1048577 bytes.*at most 1048576/],
  ] as const) {
    const failure = await failureOf(() => returned)
    assert.equal(failure.kind, FailureKind.DEAD)
    assert.match(failure.message, message)
  }
})

test('large results travel in frames that a server takes', async () => {
  await using server = await WorkerServer.start()
  await using _worker = createWorker({
    server: server.address,
    queues: { echo: () => new Uint8Array(700_000) },
  })
  const session = await server.session()
  const leases = session.give(...Array.from({ length: 12 }, () => ({})))
  for (const lease of leases) assert.equal((await session.outcome(lease)).case, 'success')
  assert.ok(session.frames.every((frame) => frame.outcomes.length <= 1))
})

test('a queue that the worker does not serve is handed back for somebody else', async () => {
  await using server = await WorkerServer.start()
  await using _worker = createWorker({ server: server.address, queues: { echo: () => 'ok' } })
  const session = await server.session()
  const [lease] = session.give({ queue: 'toString' })
  const end = await session.outcome(lease!)
  assert.ok(end.case === 'failure')
  assert.equal(end.value.kind, FailureKind.RETRYABLE)
  assert.match(end.value.message, /does not serve queue 'toString'/)
  await session.until(() => session.credits === 16)
})

test('a wrong option is refused with its name, value and what is right', () => {
  const good = { server: '127.0.0.1:1', queues: { a: () => {} } }
  for (const [wrong, message] of [
    [{ server: 'http://127.0.0.1:8081' }, /server: must be 'host:port'.*http:/],
    [{ server: 'host' }, /server/],
    [{ server: 'host:99999' }, /server/],
    [{ server: [] }, /server: name at least one/],
    [{ queues: {} }, /queues: name at least one/],
    [{ queues: { a: 'x' as unknown as Handler } }, /queues\.a: must be a function, got x/],
    [{ concurrency: 0 }, /concurrency: must be a whole number from 1 to 10000, got 0/],
    [{ concurrency: 2.5 }, /concurrency/],
    [{ sessions: 'all' as unknown as 'each' }, /sessions: must be 'each' or 'first', got all/],
    [
      { server: ['a:1', 'b:1'], concurrency: 1, sessions: 'each' },
      /sessions: needs a concurrency of at least 2, a slot for each address, got each/,
    ],
  ] as const) {
    assert.throws(() => createWorker({ ...good, ...wrong }), { code: 'CONFIG_INVALID', message })
  }
})

async function endOf(handler: Handler, task: { payload?: Uint8Array } = {}): Promise<NonNullable<Outcome['end']>> {
  await using server = await WorkerServer.start()
  await using _worker = createWorker({ server: server.address, queues: { echo: handler } })
  const session = await server.session()
  const [lease] = session.give(task)
  return await session.outcome(lease!)
}

async function failureOf(handler: Handler, task: { payload?: Uint8Array } = {}) {
  const end = await endOf(handler, task)
  assert.ok(end.case === 'failure', `expected a failure, got ${end.case}`)
  const { message, kind, retryAfterMs } = end.value
  return { message, kind, retryAfterMs }
}
