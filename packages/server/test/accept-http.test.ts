import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import type { LogRecord } from '@forebay/broker'
import { STAY_FOR } from '../src/accept/accepting-queue.ts'
import { taskTopic } from '../src/topics.ts'
import { type DoorsRig, openDoorsRig, queueOptions, sendRaw } from './support/doors-rig.ts'

let rig: DoorsRig
before(async () => {
  rig = await openDoorsRig({
    queues: [
      queueOptions('orders', {
        partitions: 12,
        route: { method: 'POST', path: '/orders/{customer}', parameters: ['customer'] },
        key: { from: 'path', parameter: 'customer' },
      }),
      queueOptions('photos', { partitions: 1, bodyBytesMax: 10_000 }),
      queueOptions('by-header', { partitions: 1, key: { from: 'header', header: 'x-customer' } }),
      queueOptions('by-body', { partitions: 1, key: { from: 'body', pointer: '/customer/ids/0' } }),
    ],
  })
})
after(() => rig.stop())

test('a task is acknowledged with its place and is in the log with its bytes', async () => {
  const body = randomBytes(4_000)
  const response = await post('/v1/queues/photos/tasks', body, { 'content-type': 'image/jpeg; q="a;b"' })
  assert.equal(response.status, 202)
  const answer = (await response.json()) as Answer
  assert.equal(response.headers.get('location'), `/v1/tasks/${answer.id}`)
  assert.equal(response.headers.get('retry-after'), '1')
  assert.deepEqual(answer, {
    id: answer.id,
    queue: 'photos',
    state: 'pending',
    acceptedAt: answer.acceptedAt,
    links: { self: `/v1/tasks/${answer.id}`, result: `/v1/tasks/${answer.id}/result` },
  })
  assert.ok(Math.abs(Date.parse(answer.acceptedAt) - Date.now()) < 60_000)
  const record = await recordOf('photos', answer.id)
  assert.deepEqual(Buffer.from(record.value!), body)
  assert.equal(record.key, null)
  assert.equal(header(record, 'content-type'), 'image/jpeg; q="a;b"')
  assert.equal(header(record, 'fb-owner'), 'anonymous')
  assert.equal(header(record, 'fb-lane'), String(rig.replies.lane))
  assert.equal(header(record, 'fb-budget'), '86400000')
})

test('a body in many chunks, without a length, arrives whole', async () => {
  const parts = Array.from({ length: 50 }, () => randomBytes(100))
  const stream = new ReadableStream({
    async pull(controller) {
      const part = parts[sent++]
      if (part === undefined) controller.close()
      else controller.enqueue(part)
    },
  })
  let sent = 0
  const init = { method: 'POST', body: stream, duplex: 'half' } as RequestInit
  const { id } = (await (await fetch(`${rig.url}/v1/queues/photos/tasks`, init)).json()) as Answer
  assert.deepEqual(Buffer.from((await recordOf('photos', id)).value!), Buffer.concat(parts))
})

test('no body and no content type make an empty task of octets', async () => {
  const heard = await sendRaw(rig.port, 'POST /v1/queues/photos/tasks HTTP/1.1\r\nHost: a\r\n\r\n', 150)
  const { id } = JSON.parse(heard.slice(heard.indexOf('\r\n\r\n'))) as Answer
  const record = await recordOf('photos', id)
  assert.equal(record.value!.length, 0)
  assert.equal(header(record, 'content-type'), 'application/octet-stream')
})

test('bodies are never parsed without need', async () => {
  const response = await post('/v1/queues/photos/tasks', '{"a":', { 'content-type': 'application/json' })
  assert.equal(response.status, 202)
})

test("a queue's own route takes the key from the path, and one key goes to one partition", async () => {
  const ids = await Promise.all(
    Array.from({ length: 20 }, async () => ((await (await post('/orders/caf%C3%A9%2F7', 'x')).json()) as Answer).id),
  )
  const records = await recordsOf('orders')
  const ours = records.filter((record) => ids.includes(header(record, 'ce_id')!))
  assert.equal(ours.length, 20)
  assert.deepEqual(new Set(ours.map((record) => Buffer.from(record.key!).toString())), new Set(['café/7']))
  assert.equal(new Set(ours.map((record) => record.partition)).size, 1)
})

test('what the caller names outright goes before the source', async () => {
  const { id } = (await (await post('/orders/7', 'x', { 'forebay-key': 'mine' })).json()) as Answer
  assert.equal(Buffer.from((await recordOf('orders', id)).key!).toString(), 'mine')
})

test('keys come from a header or by a pointer into the body', async () => {
  const one = (await (await post('/v1/queues/by-header/tasks', 'x', { 'X-Customer': '42' })).json()) as Answer
  assert.equal(Buffer.from((await recordOf('by-header', one.id)).key!).toString(), '42')
  const body = '{ "customer": {"ids": [ 43 ]} }'
  const two = (await (await post('/v1/queues/by-body/tasks', body)).json()) as Answer
  const record = await recordOf('by-body', two.id)
  assert.equal(Buffer.from(record.key!).toString(), '43')
  assert.equal(Buffer.from(record.value!).toString(), body, 'the bytes stay as they came')
})

const keyFaults: [name: string, path: string, body: string, headers: Record<string, string>, code: string][] = [
  ['no header', '/v1/queues/by-header/tasks', 'x', {}, 'KEY_MISSING'],
  ['an empty header', '/v1/queues/by-header/tasks', 'x', { 'x-customer': '' }, 'KEY_MISSING'],
  ['no path', '/v1/queues/orders/tasks', 'x', {}, 'KEY_MISSING'],
  ['nothing at the pointer', '/v1/queues/by-body/tasks', '{"customer":{"ids":[]}}', {}, 'KEY_MISSING'],
  ['an object at the pointer', '/v1/queues/by-body/tasks', '{"customer":{"ids":[{}]}}', {}, 'KEY_MISSING'],
  ['an inherited member', '/v1/queues/by-body/tasks', '{"customer":{"__proto__":{"ids":["x"]}}}', {}, 'KEY_MISSING'],
  [
    'a number that lost its digits',
    '/v1/queues/by-body/tasks',
    '{"customer":{"ids":[9007199254740993]}}',
    {},
    'KEY_MISSING',
  ],
  ['no JSON', '/v1/queues/by-body/tasks', '{"customer":', {}, 'MALFORMED_JSON'],
  ['half a surrogate pair', '/v1/queues/by-body/tasks', '{"customer":{"ids":["\\ud800"]}}', {}, 'BAD_REQUEST'],
  ['an escaped newline', '/orders/a%0Ab', 'x', {}, 'BAD_REQUEST'],
  ['257 bytes', `/orders/${'a'.repeat(257)}`, 'x', {}, 'BAD_REQUEST'],
  ['257 bytes of UTF-8', `/orders/${encodeURIComponent('é'.repeat(129))}`, 'x', {}, 'BAD_REQUEST'],
  ['an empty Forebay-Key', '/orders/7', 'x', { 'forebay-key': '' }, 'BAD_REQUEST'],
  ['Latin-1', '/orders/7', 'x', { 'forebay-key': 'caf\u00e9' }, 'BAD_HEADER'],
]

for (const [name, path, body, headers, code] of keyFaults) {
  test(`a key that cannot be: ${name}`, async () => {
    const response = await post(path, body, headers)
    const problem = (await response.json()) as { code: string; detail: string }
    assert.equal(response.status, 400)
    assert.equal(problem.code, code)
    if (code === 'KEY_MISSING') assert.match(problem.detail, /x-customer|customer|\/customer\/ids\/0/)
  })
}

test('a key of 256 bytes passes, escaped byte by byte', async () => {
  const key = 'é'.repeat(128)
  const { id } = (await (await post(`/orders/${encodeURIComponent(key)}`, 'x')).json()) as Answer
  assert.equal(Buffer.from((await recordOf('orders', id)).key!).toString(), key)
})

test('a key in a header may be UTF-8', async () => {
  const bytes = Buffer.from('POST /orders/7 HTTP/1.1\r\nHost: a\r\nForebay-Key: café\r\nContent-Length: 1\r\n\r\nx')
  const heard = await sendRaw(rig.port, bytes, 150)
  const { id } = JSON.parse(heard.slice(heard.indexOf('\r\n\r\n'))) as Answer
  assert.equal(Buffer.from((await recordOf('orders', id)).key!).toString(), 'café')
})

test('tasks without a key are spread evenly', async () => {
  const rig = await openDoorsRig({ queues: [queueOptions('even', { partitions: 4 })] })
  const one = () => fetch(`${rig.url}/v1/queues/even/tasks`, { method: 'POST', body: 'x' })
  for (let index = 0; index < 4 * STAY_FOR; index++) assert.equal((await one()).status, 202)
  const partitions = await rig.broker.inspect({ topics: [taskTopic('even')] })
  assert.deepEqual(
    partitions.map(({ start, end }) => end - start),
    [STAY_FOR, STAY_FOR, STAY_FOR, STAY_FOR],
  )
  await rig.stop()
})

test('an unknown queue is answered with the nearest name, its own name not repeated', async () => {
  const response = await post('/v1/queues/ordres/tasks', 'x')
  assert.equal(response.status, 404)
  assert.equal(response.headers.get('content-type'), 'application/problem+json')
  const problem = (await response.json()) as { code: string; detail: string }
  assert.equal(problem.code, 'QUEUE_NOT_FOUND')
  assert.match(problem.detail, /"orders"/)
  for (const name of ['__proto__', 'constructor', '..%2F..', '%F0%9F%98%80', 'a'.repeat(1_000)]) {
    assert.equal((await post(`/v1/queues/${name}/tasks`, 'x')).status, 404)
  }
})

test('a body over the limit is refused by its length, before it is sent', async () => {
  const raw =
    'POST /v1/queues/photos/tasks HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10001\r\n\r\n'
  const heard = await sendRaw(rig.port, raw, 300)
  assert.match(heard, /^HTTP\/1\.1 413 /)
  assert.match(heard, /"limit":10000/)
})

test('a body over the limit is refused by its bytes, and one at the limit is kept', async () => {
  const chunked = (bytes: number) =>
    `POST /v1/queues/photos/tasks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${bytes.toString(16)}\r\n${'x'.repeat(bytes)}\r\n0\r\n\r\n`
  const before = await rig.kept('photos')
  assert.match(await sendRaw(rig.port, chunked(10_001), 150), /^HTTP\/1\.1 413 .*TASK_TOO_LARGE/s)
  assert.equal(await rig.kept('photos'), before)
  assert.match(await sendRaw(rig.port, chunked(10_000), 150), /^HTTP\/1\.1 202 /)
  assert.equal((await post('/v1/queues/photos/tasks', Buffer.alloc(10_001))).status, 413)
  assert.equal((await post('/v1/queues/photos/tasks', Buffer.alloc(10_000))).status, 202)
})

test('whoever asks "may I send" is told so and is kept', async () => {
  const raw = 'POST /v1/queues/photos/tasks HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi'
  assert.match(await sendRaw(rig.port, raw, 200), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 202 /)
})

test('trace context goes along when it is well-formed and is dropped when it is not', async () => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const good = { traceparent, tracestate: 'a=1,b=2' }
  const kept = (await (await post('/v1/queues/photos/tasks', 'x', good)).json()) as Answer
  const record = await recordOf('photos', kept.id)
  assert.equal(header(record, 'traceparent'), traceparent)
  assert.equal(header(record, 'tracestate'), 'a=1,b=2')
  const bad = [
    '00-0af7',
    traceparent.toUpperCase(),
    `${traceparent}-00`,
    traceparent.replace(/^00-\w{32}/, `00-${'0'.repeat(32)}`),
  ]
  for (const one of bad) {
    const answer = (await (
      await post('/v1/queues/photos/tasks', 'x', { traceparent: one, tracestate: 'a=1' })
    ).json()) as Answer
    const other = await recordOf('photos', answer.id)
    assert.equal(header(other, 'traceparent'), undefined)
    assert.equal(header(other, 'tracestate'), undefined)
  }
})

test('no other header of the caller reaches the log', async () => {
  const headers = { 'fb-owner': 'root', ce_id: 'forged', cookie: 'secret', 'x-anything': '1', connection: 'keep-alive' }
  const { id } = (await (await post('/v1/queues/photos/tasks', 'x', headers)).json()) as Answer
  const record = await recordOf('photos', id)
  assert.deepEqual(record.headers.map(([name]) => name).sort(), [
    'ce_id',
    'ce_source',
    'ce_specversion',
    'ce_time',
    'ce_type',
    'content-type',
    'fb-budget',
    'fb-lane',
    'fb-owner',
  ])
  assert.equal(header(record, 'fb-owner'), 'anonymous')
})

test('the caller may ask for a nearer deadline, not for one past retention', async () => {
  for (const [asked, budget] of [
    ['30s', '30000'],
    ['10m', '600000'],
    ['1.5', '1500'],
    ['24h', '86400000'],
  ] as const) {
    const { id } = (await (await post('/v1/queues/photos/tasks', 'x', { 'forebay-deadline': asked })).json()) as Answer
    assert.equal(header(await recordOf('photos', id), 'fb-budget'), budget)
  }
  for (const asked of ['0', '-1', 'soon', '25h', '1e20', 'NaN', '', '9'.repeat(400)]) {
    const response = await post('/v1/queues/photos/tasks', 'x', { 'forebay-deadline': asked })
    assert.equal(response.status, 400, asked)
    assert.equal(((await response.json()) as { code: string }).code, 'BAD_HEADER')
  }
})

test('health and metrics answer, also to HEAD', async () => {
  assert.equal((await fetch(`${rig.url}/livez`)).status, 200)
  const ready = await fetch(`${rig.url}/readyz`)
  assert.deepEqual(await ready.json(), { ready: true, profile: 'embedded', reasons: [] })
  const metrics = await (await fetch(`${rig.url}/metrics`)).text()
  assert.match(metrics, /forebay_tasks_accepted_total\{queue="photos"\} \d+/)
  assert.match(metrics, /forebay_requests_refused_total\{code="TASK_TOO_LARGE"\} \d+/)
  const head = await fetch(`${rig.url}/readyz`, { method: 'HEAD' })
  assert.equal(head.status, 200)
  assert.equal(await head.text(), '')
})

interface Answer {
  readonly id: string
  readonly acceptedAt: string
}

function post(
  path: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = {},
): Promise<Response> {
  const type: Record<string, string> = 'content-type' in headers ? {} : { 'content-type': 'text/plain' }
  return fetch(rig.url + path, { method: 'POST', body, headers: { ...type, ...headers } })
}

function header(record: LogRecord, name: string): string | undefined {
  const found = record.headers.find((one) => one[0] === name)
  return found === undefined ? undefined : Buffer.from(found[1]).toString()
}

async function recordOf(queue: string, id: string): Promise<LogRecord> {
  const found = (await recordsOf(queue)).find((record) => header(record, 'ce_id') === id)
  assert.ok(found !== undefined, `task ${id} is not in the log`)
  return found
}

async function recordsOf(queue: string): Promise<LogRecord[]> {
  const all: LogRecord[] = []
  for (const { topic, partition, start, end } of await rig.broker.inspect({ topics: [taskTopic(queue)] })) {
    if (end === start) continue
    const listener = await rig.broker.listen({ topic, partition, from: 'earliest' })
    for await (const records of listener) {
      all.push(...records)
      if (records.at(-1)!.offset >= end - 1) break
    }
    await listener.close()
  }
  return all
}
