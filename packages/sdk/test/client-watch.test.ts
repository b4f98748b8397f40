import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { systemClock } from '@forebay/broker'
import fc from 'fast-check'
import { createClient, RequestError, RestartedError, TaskFailedError } from '../src/client/client.ts'
import { FRAME_CHARACTERS_MAX, SseFrames } from '../src/client/sse-frames.ts'
import { HttpGateway, hangUp, problem, type Reply, silence } from './http-gateway.ts'
import { HurriedClock } from './hurried-clock.ts'

const RETRY = 'retry: 1000\n\n'

function task(state: string, other: object = {}): object {
  return { id: 't', queue: 'q', state, attempts: 1, acceptedAt: '2026-01-01T00:00:00.000Z', links: {}, ...other }
}

function event(name: string, data: object, id?: string | number): string {
  return `${id === undefined ? '' : `id: ${id}\n`}event: ${name}\ndata: ${JSON.stringify(data)}\n\n`
}

function chunk(n: number, id: number, attempt = 1): string {
  return event('chunk', { attempt, chunk: n, contentType: 'text/plain', text: `part ${n}` }, id)
}

const state = event('state', task('running'))
const end = event(
  'result',
  task('succeeded', {
    finishedAt: '2026-01-01T00:00:01.000Z',
    result: { contentType: 'application/json', text: '{"sum":3}' },
  }),
  'end-0',
)

/** Says this, and then ends the answer, cuts the connection or says no more. */
function stream(text: string, then: 'end' | 'cut' | 'hold' = 'end'): Reply {
  return (_asked, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
    response.write(RETRY + text, () => {
      if (then === 'cut') response.socket?.destroy()
    })
    if (then === 'end') response.end()
  }
}

function follow(gateway: HttpGateway, clock = new HurriedClock()) {
  return createClient({ url: gateway.url, key: 'sk-1', clock }).task<{ sum: number }>('t')
}

test('a task is followed to its end, with everything typed', async () => {
  const bytes = Buffer.from([0, 255])
  const progress = event('progress', { attempt: 1, fraction: null, message: 'on it' }, 7)
  const binary = event('chunk', { attempt: 2, chunk: 1, contentType: 'x/y', base64: bytes.toString('base64') }, 9)
  const later = event('something-new', { a: 1 })
  const restart = event('restart', { attempt: 2, generation: 1 })
  await using gateway = await HttpGateway.start(
    stream(`${state}:\n\n${progress}${chunk(1, 8)}${restart}${later}${binary}${end}`),
  )
  const events = await all(follow(gateway).watch())
  assert.deepEqual(
    events.map(({ kind, position }) => [kind, position]),
    [
      ['state', ''],
      ['progress', '7'],
      ['chunk', '8'],
      ['restart', '8'],
      ['chunk', '9'],
      ['end', 'end-0'],
    ],
  )
  const [first, working, , again, raw, last] = events
  assert.ok(first?.kind === 'state' && first.status.state === 'running' && first.status.finishedAt === null)
  assert.ok(working?.kind === 'progress' && working.fraction === null && working.message === 'on it')
  assert.ok(again?.kind === 'restart' && again.attempt === 2 && again.generation === 1)
  assert.ok(raw?.kind === 'chunk' && raw.number === 1 && raw.contentType === 'x/y' && raw.attempt === 2)
  assert.deepEqual(Buffer.from(raw.bytes), bytes)
  assert.ok(last?.kind === 'end' && last.status.finishedAt!.getTime() > 0)
  assert.deepEqual(last.result!.json(), { sum: 3 })
  const [asked] = gateway.asked
  assert.deepEqual(
    [asked!.path, asked!.headers.accept, asked!.headers.authorization, asked!.headers['last-event-id']],
    ['/v1/tasks/t/events', 'text/event-stream', 'Bearer sk-1', undefined],
  )
})

test('a stream that breaks is taken up where it was, at the next gateway', async () => {
  // Asked in turn, one and two.
  await using one = await HttpGateway.start(
    stream(`${state}${chunk(1, 5)}id: 6\nevent: chunk\ndata: {"half`, 'cut'),
    stream(state + chunk(2, 6), 'end'),
    stream(state + chunk(3, 8), 'cut'),
  )
  await using two = await HttpGateway.start(hangUp, problem('STORE_BEHIND', {}, { 'retry-after': '3' }), stream(end))
  const clock = new HurriedClock()
  const random = { unit: () => 0, fill: () => {} }
  const client = createClient({ urls: [one.url, two.url], clock, random: random as never })
  const events = await all(client.task('t').watch())
  assert.deepEqual(
    events.filter(({ kind }) => kind !== 'state').map((one) => (one.kind === 'chunk' ? one.number : one.kind)),
    [1, 2, 3, 'end'],
  )
  const positions = (gateway: HttpGateway) => gateway.asked.map(({ headers }) => headers['last-event-id'])
  assert.deepEqual(positions(one), [undefined, '5', '6'])
  assert.deepEqual(positions(two), ['5', '6', '8'])
})

test('where a watch was left, another goes on; after the end there is nothing more', async () => {
  await using gateway = await HttpGateway.start(
    stream(state + chunk(4, 44), 'hold'),
    stream(end),
    (_asked, response) => {
      response.writeHead(204).end()
    },
  )
  const handle = follow(gateway)
  let position = ''
  for await (const one of handle.watch({ after: '43' })) {
    position = one.position
    if (one.kind === 'chunk') break
  }
  assert.equal(position, '44')
  const [last] = await all(handle.watch({ after: position }))
  assert.equal(last!.position, 'end-0')
  assert.deepEqual(await all(handle.watch({ after: 'end-0' })), [])
  assert.deepEqual(
    gateway.asked.map(({ headers }) => headers['last-event-id']),
    ['43', '44', 'end-0'],
  )
})

test('leaving the loop, and the signal, close the connection', async () => {
  const closed: Promise<unknown>[] = []
  const held: Reply = (asked, response) => {
    closed.push(once(response, 'close'))
    return stream(state, 'hold')(asked, response)
  }
  await using gateway = await HttpGateway.start(held)
  for await (const _ of follow(gateway).watch()) break
  await closed[0]
  const aborter = new AbortController()
  const watching = all(follow(gateway).watch({ signal: aborter.signal }))
  const told = assert.rejects(watching, /enough/)
  while (closed.length < 2) await new Promise(setImmediate)
  aborter.abort(new Error('enough'))
  await told
  await closed[1]
  const refused = follow(gateway).watch({ signal: AbortSignal.abort(new Error('never')) })
  await assert.rejects(all(refused), /never/)
})

test('what cannot be followed is told at once; what passes is tried for as long as `retry.within` says', async () => {
  for (const reply of [problem('TASK_NOT_FOUND'), problem('TASK_GONE'), problem('BAD_HEADER')]) {
    await using gateway = await HttpGateway.start(reply)
    await assert.rejects(all(follow(gateway).watch()), RequestError)
    assert.equal(gateway.asked.length, 1)
  }
  const page: Reply = (_asked, response) => {
    response.writeHead(200, { 'content-type': 'text/html' }).end('<p>')
  }
  for (const reply of [page, stream('event: chunk\ndata: nonsense\n\n'), stream('event: state\ndata: 7\n\n')]) {
    await using gateway = await HttpGateway.start(reply)
    await assert.rejects(all(follow(gateway).watch()), { code: 'UNEXPECTED_ANSWER' })
    assert.equal(gateway.asked.length, 1)
  }
  const clock = new HurriedClock()
  await using gateway = await HttpGateway.start(problem('OVERLOADED', {}, { 'retry-after': '2' }))
  await assert.rejects(all(follow(gateway, clock).watch()), { code: 'OVERLOADED' })
  assert.ok(gateway.asked.length > 5 && clock.slept.every((ms) => ms >= 2_000))
  const slept = clock.slept.reduce((sum, ms) => sum + ms, 0)
  assert.ok(slept > 15_000 && slept <= 30_000)
})

test('a gateway that answers nothing, or falls silent, is given up for the next', async () => {
  const impatient = {
    ...systemClock,
    // A stream may be silent for 45 s, an answer may take 10.
    timer: (delayMs: number, callback: () => void) => systemClock.timer(delayMs / 200, callback),
    sleep: async () => {},
  }
  await using gateway = await HttpGateway.start(stream(state + chunk(1, 1), 'hold'), silence, stream(chunk(2, 2) + end))
  const events = await all(createClient({ url: gateway.url, clock: impatient }).task('t').watch())
  assert.deepEqual(
    events.map(({ kind }) => kind),
    ['state', 'chunk', 'chunk', 'end'],
  )
  assert.equal(gateway.asked.length, 3)
})

test('chunks are those of one attempt: a restart after some of them throws, as does a bad end', async () => {
  const restart = event('restart', { attempt: 2, generation: 0 })
  await using gateway = await HttpGateway.start(
    stream(state + chunk(1, 1) + chunk(2, 2) + end),
    stream(state + chunk(1, 1) + restart + chunk(1, 3, 2) + end),
    stream(state + event('progress', { attempt: 1, fraction: 1, message: '' }, 2) + restart + chunk(1, 3, 2) + end),
    stream(event('result', task('dead', { problem: { code: 'WORKER_FAILED', detail: 'No.' } }), 'end-0')),
  )
  const handle = follow(gateway)
  const texts: string[] = []
  for await (const { bytes } of handle.chunks()) texts.push(Buffer.from(bytes).toString())
  assert.deepEqual(texts, ['part 1', 'part 2'])
  await assert.rejects(all(handle.chunks()), (thrown) => thrown instanceof RestartedError && thrown.attempt === 2)
  assert.equal((await all(handle.chunks())).length, 1)
  await assert.rejects(all(handle.chunks()), (thrown) => {
    return thrown instanceof TaskFailedError && thrown.state === 'dead' && thrown.code === 'WORKER_FAILED'
  })
})

test('a stream is read the same in whatever pieces it comes, and with every kind of line end', () => {
  const text = `: hi\n\n${RETRY}id: 1\nevent: chunk\ndata: "🙂"\ndata:two\n\nevent: x\n\nid\ndata\n\nretry: soon\n\ndata: last\n\n`
  const expected = [
    { event: '', id: null, data: null, retryMs: 1000 },
    { event: 'chunk', id: '1', data: '"🙂"\ntwo', retryMs: null },
    { event: '', id: '', data: '', retryMs: null },
    { event: '', id: null, data: 'last', retryMs: null },
  ]
  const cuts = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1 })
  fc.assert(
    fc.property(fc.constantFrom('\n', '\r\n', '\r'), cuts, (lineEnd, sizes) => {
      const bytes = Buffer.from(`${text.replaceAll('\n', lineEnd)}:`)
      const frames = new SseFrames()
      const read = []
      for (let at = 0, turn = 0; at < bytes.length; turn++) {
        const size = sizes[turn % sizes.length]!
        read.push(...frames.push(bytes.subarray(at, at + size)))
        at += size
      }
      assert.deepEqual(read, expected)
    }),
  )
  const endless = new SseFrames()
  const piece = Buffer.alloc(1024 * 1024, 'x')
  assert.throws(() => {
    for (let sent = 0; sent <= FRAME_CHARACTERS_MAX; sent += piece.length) endless.push(piece)
  }, RangeError)
})

async function all<T>(events: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const one of events) found.push(one)
  return found
}
