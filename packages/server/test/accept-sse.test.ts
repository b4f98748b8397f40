import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { SSE_HEARTBEAT_MS, SSE_STUCK_MS } from '../src/accept/sse-stream.ts'
import { RESULT_BESIDE_TASK_BYTES_MAX } from '../src/body-text.ts'
import { noteRecord, outputRecord } from '../src/records.ts'
import { ManualClock } from '../src/store/contract/manual-clock.ts'
import type { Output, Result } from '../src/task.ts'
import { clockAhead } from './support/clock-ahead.ts'
import { accessKeys, type DoorsRig, openDoorsRig, queueOptions, sendRaw } from './support/doors-rig.ts'
import { type SseEvent, SseReader } from './support/sse-reader.ts'

let rig: DoorsRig
before(async () => {
  rig = await openDoorsRig({ queues: [queueOptions('orders', { partitions: 1 })] })
})
after(() => rig.stop())

test('a task is followed from its state over progress and chunks to its result, which ends the stream', async () => {
  const id = await submit(rig)
  const reader = await follow(rig, id)
  assert.equal(reader.response.status, 200)
  assert.equal(reader.response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
  assert.equal(reader.response.headers.get('cache-control'), 'no-store')
  assert.equal(reader.response.headers.get('x-accel-buffering'), 'no')
  const standing = await reader.next()
  assert.deepEqual(reader.lines, ['retry: 1000'])
  const task = await (await fetch(`${rig.url}/v1/tasks/${id}`)).json()
  assert.deepEqual(standing, { event: 'state', id: '', data: task })
  await say(rig, id, { progress: 0.5, message: 'half\nof it' })
  await say(rig, id, { text: 'Hello,\n\ndata: world' }, { text: ' again' })
  await rig.end(id, succeeded('done'))
  const events = await reader.until(null)
  assert.deepEqual(
    events.map(({ event, data }) => [event, data]),
    [
      ['progress', { attempt: 1, fraction: 0.5, message: 'half\nof it' }],
      ['chunk', { attempt: 1, chunk: 1, contentType: 'text/plain', text: 'Hello,\n\ndata: world' }],
      ['chunk', { attempt: 1, chunk: 2, contentType: 'text/plain', text: ' again' }],
      [
        'result',
        {
          ...((await (await fetch(`${rig.url}/v1/tasks/${id}`)).json()) as object),
          result: { contentType: 'text/plain', text: 'done' },
        },
      ],
    ],
  )
  const offsets = events.slice(0, 3).map((event) => Number(event.id))
  assert.ok(offsets[0]! < offsets[1]! && offsets[1]! < offsets[2]!)
  assert.equal(events.at(-1)!.id, 'end-0')
})

test('who comes back goes on after the last event it has, by header or by query; after the end there is nothing more', async () => {
  const id = await submit(rig)
  await say(rig, id, { text: 'a' }, { text: 'b' }, { progress: 0.5, message: '' }, { text: 'c' })
  const first = await follow(rig, id)
  const [, a, b] = await first.until('progress')
  first.close()
  for (const back of [
    await follow(rig, id, { 'last-event-id': a!.id }),
    await follow(rig, id, {}, `?lastEventId=${a!.id}`),
    await follow(rig, id, { 'last-event-id': a!.id }, `?lastEventId=${b!.id}`),
  ]) {
    const told = [await back.next(), await back.next(), await back.next(), await back.next()]
    assert.deepEqual(
      told.map((one) => one!.data.chunk ?? one!.event),
      ['state', 2, 'progress', 3],
    )
    back.close()
  }
  await rig.end(id, succeeded('done'))
  const last = await follow(rig, id, { 'last-event-id': b!.id })
  const rest = await last.until(null)
  assert.deepEqual(names(rest), ['progress', 'chunk', 'result'])
  const over = await fetch(`${rig.url}/v1/tasks/${id}/events`, { headers: { 'last-event-id': rest.at(-1)!.id } })
  assert.equal(over.status, 204)
  assert.equal(over.headers.get('cache-control'), 'no-store')
  assert.equal(await over.text(), '')
  assert.deepEqual(names(await (await follow(rig, id)).until(null)), ['chunk', 'chunk', 'progress', 'chunk', 'result'])
})

test('another attempt, and another life of a dead task, begin with a restart', async () => {
  const id = await submit(rig)
  const reader = await follow(rig, id)
  await say(rig, id, { text: 'a' }, { text: 'b' })
  await note(rig, id, 'retrying', 1, 0)
  await say(rig, id, { text: 'A', run: 'b'.repeat(16), attempts: 2 })
  // A zombie goes on, and is not heard.
  await say(rig, id, { text: 'c', chunks: 3 })
  await rig.end(id, { state: 'dead', fault: { code: 'WORKER_FAILED', detail: 'No.' } }, { attempts: 2 })
  const events = await reader.until(null)
  assert.deepEqual(names(events), ['state', 'chunk', 'chunk', 'state', 'restart', 'chunk', 'result'])
  assert.deepEqual(events[4]!.data, { attempt: 2, generation: 0 })
  const { problem, result } = events.at(-1)!.data as { problem: { code: string }; result?: unknown }
  assert.equal(problem.code, 'WORKER_FAILED')
  assert.equal(result, undefined)
  const end = events.at(-1)!.id
  assert.equal((await fetch(`${rig.url}/v1/tasks/${id}/events`, { headers: { 'last-event-id': end } })).status, 204)
  await note(rig, id, 'pending', 0, 1)
  await say(rig, id, { text: 'new', run: 'c'.repeat(16), generation: 1 })
  await rig.end(id, succeeded('done'), { generation: 1 })
  const again = await (await follow(rig, id, { 'last-event-id': end })).until(null)
  assert.deepEqual(names(again), ['restart', 'chunk', 'result'])
  assert.equal(again.at(-1)!.id, 'end-1')
})

test('bytes that are no text come as base64, and a large result only as its link', async () => {
  const id = await submit(rig)
  const smile = Buffer.from('🙂')
  await say(rig, id, { bytes: smile.subarray(0, 2) }, { bytes: smile.subarray(2) }, { bytes: Buffer.from('\ufeff✓') })
  const large = Buffer.alloc(RESULT_BESIDE_TASK_BYTES_MAX + 1, 'x')
  await rig.end(id, succeeded(large))
  const events = await (await follow(rig, id)).until(null)
  const chunks = events
    .filter(({ event }) => event === 'chunk')
    .map(({ data }) => data as { base64?: string; text?: string })
  assert.deepEqual(Buffer.concat(chunks.slice(0, 2).map(({ base64 }) => Buffer.from(base64!, 'base64'))), smile)
  assert.equal(chunks[2]!.text, '\ufeff✓')
  const { result, links } = events.at(-1)!.data as { result?: unknown; links: { result: string } }
  assert.equal(result, undefined)
  assert.equal((await (await fetch(rig.url + links.result)).arrayBuffer()).byteLength, large.length)
  const other = await submit(rig)
  await rig.end(other, succeeded(Buffer.from([0, 255])))
  const [end] = await (await follow(rig, other)).until(null)
  assert.deepEqual(end!.data.result, { contentType: 'text/plain', base64: 'AP8=' })
})

test('what cannot be followed is refused before the stream begins', async () => {
  const id = await submit(rig)
  const path = `/v1/tasks/${id}/events`
  for (const value of ['x', '-1', '01', 'end-', 'end-x', '1.5', '9'.repeat(17), '1,2', 'end-0 ', '\u00ff']) {
    const refused = await fetch(rig.url + path, { headers: { 'last-event-id': value } })
    const known = value.trim() === 'end-0'
    assert.equal(refused.status, known ? 200 : 400, value)
    if (known) await refused.body!.cancel()
    else assert.deepEqual(await problemOf(refused), { code: 'BAD_HEADER', header: 'Last-Event-ID' })
  }
  const byQuery = await fetch(`${rig.url}${path}?lastEventId=zzz`)
  assert.deepEqual(await problemOf(byQuery), { code: 'BAD_HEADER', header: 'lastEventId' })
  const twice = await sendRaw(
    rig.port,
    `GET ${path} HTTP/1.1\r\nHost: a\r\nLast-Event-ID: 1\r\nlast-event-id: 2\r\n\r\n`,
  )
  assert.match(twice, /^HTTP\/1.1 400 /)
  for (const accept of [
    'application/json',
    'text/event-stream;q=0',
    'text/*;q=0, */*',
    '*/*;q=0',
    'text/html, nonsense',
  ]) {
    const refused = await fetch(rig.url + path, { headers: { accept } })
    assert.equal(refused.status, 406, accept)
    assert.equal((await problemOf(refused)).code, 'NOT_ACCEPTABLE')
  }
  for (const accept of [
    'text/event-stream',
    '*/*',
    'text/*',
    'text/html, */*;q=0.1',
    'text/*;q=0, text/event-stream',
    '',
  ]) {
    const reader = await follow(rig, id, { accept })
    assert.equal(reader.response.status, 200, accept)
    reader.close()
  }
  const post = await fetch(rig.url + path, { method: 'POST' })
  assert.equal(post.status, 405)
  assert.equal(post.headers.get('allow'), 'GET, HEAD')
  const head = await fetch(rig.url + path, { method: 'HEAD' })
  assert.equal(head.status, 200)
  assert.equal(head.headers.get('content-type'), 'text/event-stream; charset=utf-8')
  await none(rig)
})

test("missing, damaged and other people's ids look the same; past retention a task is gone", async (t) => {
  const clock = clockAhead()
  const own = await openDoorsRig({
    queues: [queueOptions('orders', { partitions: 1 })],
    auth: accessKeys({ anna: 'key-a', bert: 'key-b' }),
    clock,
    retentionMs: 600_000,
  })
  t.after(() => own.stop())
  const anna = { authorization: 'Bearer key-a' }
  const id = await submit(own, anna)
  const answers: string[] = []
  for (const path of [id, `${id.slice(0, -1)}${id.endsWith('A') ? 'B' : 'A'}`, 'nonsense', '%F0%9F%99%82']) {
    const response = await fetch(`${own.url}/v1/tasks/${path}/events`, { headers: { authorization: 'Bearer key-b' } })
    answers.push(`${response.status} ${await response.text()}`)
  }
  assert.ok(answers[0]!.startsWith('404 '))
  assert.equal(new Set(answers).size, 1)
  assert.equal((await fetch(`${own.url}/v1/tasks/${id}/events`)).status, 401)
  // A result that claims another owner is not shown.
  await own.end(id, succeeded('x'), { owner: 'bert' })
  assert.equal((await fetch(`${own.url}/v1/tasks/${id}/events`, { headers: anna })).status, 404)
  const other = await submit(own, anna)
  await own.end(other, succeeded('x'), { owner: 'anna' })
  assert.deepEqual(names(await (await follow(own, other, anna)).until(null)), ['result'])
  clock.aheadMs = 700_000
  assert.equal((await fetch(`${own.url}/v1/tasks/${other}/events`, { headers: anna })).status, 410)
  await none(own)
})

test('no more are followed than may be, and a reader who goes away gives its place back', async (t) => {
  const own = await openDoorsRig({
    queues: [queueOptions('orders', { partitions: 1 })],
    auth: accessKeys({ anna: 'key-a', bert: 'key-b' }),
    http: { watchersMax: 3, watchersPerPrincipalMax: 2 },
  })
  t.after(() => own.stop())
  const anna = { authorization: 'Bearer key-a' }
  const bert = { authorization: 'Bearer key-b' }
  const annas = await submit(own, anna)
  const berts = await submit(own, bert)
  const open = [await follow(own, annas, anna), await follow(own, annas, anna)]
  const refused = await fetch(`${own.url}/v1/tasks/${annas}/events`, { headers: anna })
  assert.equal(refused.status, 429)
  assert.equal(refused.headers.get('retry-after'), '1')
  assert.deepEqual(await limitOf(refused), { code: 'OVERLOADED', option: 'http.watchersPerPrincipalMax', limit: 2 })
  open.push(await follow(own, berts, bert))
  const full = await fetch(`${own.url}/v1/tasks/${berts}/events`, { headers: bert })
  assert.deepEqual(await limitOf(full), { code: 'OVERLOADED', option: 'http.watchersMax', limit: 3 })
  for (const reader of open) reader.close()
  await none(own)
  for (let n = 0; n < 3; n++) {
    const reader = await follow(own, annas, anna)
    assert.equal(reader.response.status, 200)
    reader.close()
    await none(own)
  }
})

test('the connection serves on after a stream has ended', async () => {
  const id = await submit(rig)
  await rig.end(id, succeeded('done'))
  const asked = `GET /v1/tasks/${id}/events HTTP/1.1\r\nHost: a\r\n\r\n`
  const heard = await sendRaw(rig.port, `${asked}${asked}GET /livez HTTP/1.1\r\nHost: a\r\n\r\n`)
  assert.equal(heard.match(/HTTP\/1.1 200 /g)!.length, 3)
  assert.equal(heard.match(/event: result/g)!.length, 2)
  const old = await sendRaw(rig.port, `GET /v1/tasks/${id}/events HTTP/1.0\r\n\r\n`)
  assert.match(old, /retry: 1000\n\nid: end-0\nevent: result\n/)
})

test('silence is broken by heartbeats, and a reader who takes nothing is cut off', async (t) => {
  const clock = new ManualClock()
  const own = await openDoorsRig({ queues: [queueOptions('orders', { partitions: 1 })], clock })
  t.after(() => own.stop())
  const id = await submit(own)
  const reader = await follow(own, id)
  await reader.next()
  clock.advance(SSE_HEARTBEAT_MS - 1_000)
  await say(own, id, { text: 'a' })
  await reader.next()
  clock.advance(SSE_HEARTBEAT_MS - 1_000)
  assert.deepEqual(reader.lines, ['retry: 1000'])
  clock.advance(1_000)
  await reader.line(':')
  reader.close()
  await none(own)
  assert.equal(clock.pending, 0)

  // Nothing is read of this one: the kernel's buffers fill, then the socket's own, then the stream waits.
  const other = await submit(own)
  const socket = connect(own.port, '127.0.0.1')
  const closed = new Promise((resolve) => socket.on('close', resolve))
  socket.on('error', () => {})
  socket.pause()
  socket.write(`GET /v1/tasks/${other}/events HTTP/1.1\r\nHost: a\r\n\r\n`)
  const big = Buffer.alloc(256 * 1024, 'y')
  for (let n = 1; n <= 64; n++) await say(own, other, { bytes: big, chunks: n })
  assert.equal(await watching(own), 1)
  for (let passedMs = 0; passedMs <= SSE_STUCK_MS; passedMs += 1_000) {
    clock.advance(1_000)
    await sleep(1)
  }
  await none(own)
  socket.resume()
  await closed
})

test('a stop sends every reader away to come back elsewhere, and waits for none', async (t) => {
  const own = await openDoorsRig({ queues: [queueOptions('orders', { partitions: 1 })] })
  t.after(() => own.stop())
  const id = await submit(own)
  const readers = await Promise.all([1, 2, 3].map(() => follow(own, id)))
  for (const reader of readers) await reader.next()
  const began = performance.now()
  const stopped = own.doors.http.stop(30_000)
  for (const reader of readers) {
    assert.equal(await reader.next(), null)
    const [, again] = /^retry: (\d+)$/.exec(reader.lines.at(-1)!)!
    assert.equal(reader.lines.length, 2)
    assert.ok(Number(again) >= 500 && Number(again) <= 2_000)
  }
  assert.equal(await stopped, 0)
  assert.ok(performance.now() - began < 10_000)
  await none(own)
})

test('where the store fails, the stream ends and its reader may come back', async (t) => {
  let broken = false
  const own = await openDoorsRig({
    queues: [queueOptions('orders', { partitions: 1 })],
    wrapStore: (store) =>
      new Proxy(store, {
        get(target, name) {
          if (name === 'get' && broken) return () => Promise.reject(new Error('out of reach'))
          const value = Reflect.get(target, name) as unknown
          return typeof value === 'function' ? value.bind(target) : value
        },
      }),
  })
  t.after(() => own.stop())
  const id = await submit(own)
  const reader = await follow(own, id)
  await reader.next()
  broken = true
  assert.equal((await fetch(`${own.url}/v1/tasks/${id}/events`)).status, 500)
  // More than is held: the rest has to be read from the store.
  const piece = Buffer.alloc(40_000, 'z')
  await say(own, id, { bytes: piece }, { bytes: piece }, { bytes: piece })
  const events = await reader.until(null)
  assert.ok(events.length < 3)
  broken = false
  await rig.end(id, succeeded('x'))
  await own.end(id, succeeded('done'))
  const back = await (await follow(own, id, { 'last-event-id': events.at(-1)?.id ?? '' })).until(null)
  assert.deepEqual(
    [...events, ...back].map(({ event, data }) => data.chunk ?? event),
    [1, 2, 3, 'result'],
  )
})

test('a task that nobody ever heard of ends for its readers when its time is over', async (t) => {
  const clock = clockAhead()
  const own = await openDoorsRig({ queues: [queueOptions('orders', { partitions: 1 })], clock })
  t.after(() => own.stop())
  const id = await submit(own, { 'forebay-deadline': '1s' })
  clock.aheadMs = 60_000
  const events = await (await follow(own, id)).until(null)
  assert.deepEqual(names(events).at(-1), 'result')
  assert.equal(events.at(-1)!.data.state, 'expired')
})

function succeeded(payload: string | Buffer): Result['end'] {
  return { state: 'succeeded', payload: Buffer.from(payload), contentType: 'text/plain' }
}

async function submit(at: DoorsRig, headers: Record<string, string> = {}): Promise<string> {
  const response = await fetch(`${at.url}/v1/queues/orders/tasks`, { method: 'POST', body: 'x', headers })
  return ((await response.json()) as { id: string }).id
}

function follow(at: DoorsRig, id: string, headers: Record<string, string> = {}, query = ''): Promise<SseReader> {
  return SseReader.open(`${at.url}/v1/tasks/${id}/events${query}`, headers)
}

interface Said {
  readonly text?: string
  readonly bytes?: Buffer
  readonly progress?: number
  readonly message?: string
  readonly run?: string
  readonly attempts?: number
  readonly generation?: number
  /** Default: one more than was said before in this test by this run. */
  readonly chunks?: number
}

const said = new Map<string, number>()

/** Plays a worker. */
async function say(at: DoorsRig, taskId: string, ...all: readonly Said[]): Promise<void> {
  const records = all.map(
    ({ text, bytes, progress, message = '', run = 'a'.repeat(16), attempts = 1, generation = 0, chunks }) => {
      const key = `${taskId} ${run}`
      const before = said.get(key)
      const isChunk = progress === undefined
      const count = chunks ?? (before ?? 0) + (isChunk ? 1 : 0)
      said.set(key, count)
      const payload = bytes ?? Buffer.from(text ?? '')
      const content: Output['content'] = isChunk
        ? { kind: 'chunk', payload, contentType: 'text/plain' }
        : { kind: 'progress', fraction: progress, message }
      const about = { taskId, queue: 'orders', owner: 'anonymous', attempts, generation, run, atMs: Date.now() }
      return outputRecord({ ...about, first: before === undefined, chunks: count, content }, at.replies.lane)
    },
  )
  await at.broker.publish(records)
}

async function note(at: DoorsRig, taskId: string, state: 'pending' | 'retrying', attempts: number, generation: number) {
  const about = { taskId, queue: 'orders', owner: 'anonymous', attempts, generation, atMs: Date.now(), fault: null }
  await at.broker.publish([noteRecord({ ...about, state }, at.replies.lane)])
}

function names(events: readonly SseEvent[]): string[] {
  return events.map(({ event }) => event)
}

async function problemOf(response: Response): Promise<{ code: string; header?: string }> {
  assert.equal(response.headers.get('content-type'), 'application/problem+json')
  const { code, header } = (await response.json()) as { code: string; header?: string }
  return { code, ...(header === undefined ? {} : { header }) }
}

async function limitOf(response: Response): Promise<object> {
  const { code, option, limit } = (await response.json()) as Record<string, unknown>
  return { code, option, limit }
}

async function watching(at: DoorsRig): Promise<number> {
  return (await at.telemetry.metrics.watchers.get()).values[0]?.value ?? 0
}

/** Waits until nobody follows anything. */
async function none(at: DoorsRig): Promise<void> {
  while ((await watching(at)) > 0) await sleep(5)
}
