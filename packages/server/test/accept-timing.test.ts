import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import type { LogRecord } from '@forebay/broker'
import { grpcDefinition, SubmitRequestSchema, type SubmitResponse, TaskService } from '@forebay/protocol'
import { Client, credentials, Server, ServerCredentials, type ServiceError, status } from '@grpc/grpc-js'
import { DELAY_MAX_MS } from '../src/accept/timing.ts'
import { decodeTask } from '../src/records.ts'
import type { Task } from '../src/task.ts'
import { taskTopic } from '../src/topics.ts'
import { clockAhead } from './support/clock-ahead.ts'
import { type DoorsRig, openDoorsRig, queueOptions, sendRaw } from './support/doors-rig.ts'

const RETENTION_MS = 7 * 86_400_000
const clock = clockAhead()

let rig: DoorsRig
let server: Server
let client: Client
before(async () => {
  const orders = queueOptions('orders', {
    partitions: 1,
    deadlineMs: 60_000,
    route: { method: 'POST', path: '/orders/{customer}', parameters: ['customer'] },
  })
  rig = await openDoorsRig({ queues: [orders], retentionMs: RETENTION_MS, delays: true, clock })
  server = new Server()
  server.addService(rig.doors.grpc.definition, rig.doors.grpc.handlers)
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    )
  })
  client = new Client(`127.0.0.1:${port}`, credentials.createInsecure())
})
after(async () => {
  client.close()
  server.forceShutdown()
  await rig.stop()
})

test('who asks for nothing gets what there was before, in the log as well', async () => {
  const { task, record } = await kept({})
  assert.deepEqual([task.delayMs, task.priority, task.budgetMs], [0, 4, 60_000])
  const names = record.headers.map(([name]) => name)
  assert.deepEqual(
    names.filter((name) => name === 'fb-delay' || name === 'fb-priority'),
    [],
  )
})

test('a delay and a priority travel with the task, past the router and through it', async () => {
  for (const path of ['/v1/queues/orders/tasks', '/orders/ann']) {
    const { task } = await kept({ 'forebay-delay': '90s', 'forebay-priority': '9' }, path)
    assert.deepEqual([task.delayMs, task.priority, task.budgetMs], [90_000, 9, 150_000], path)
  }
  assert.equal((await kept({ 'forebay-delay': '1.5' })).task.delayMs, 1_500, 'plain seconds')
  assert.equal((await kept({ 'forebay-delay': '0s' })).task.delayMs, 0)
  assert.equal((await kept({ 'forebay-delay': '365d' })).task.delayMs, DELAY_MAX_MS)
  for (const priority of ['0', '4']) {
    assert.equal((await kept({ 'forebay-priority': priority })).task.priority, Number(priority))
  }
})

test('a moment becomes a delay that does not end before it', async () => {
  const atMs = clock.wallMs() + 3_600_000
  for (const text of [new Date(atMs).toISOString(), new Date(atMs + 999).toUTCString()]) {
    const { task } = await kept({ 'forebay-not-before': text })
    const beginsMs = task.acceptedAtMs + task.delayMs
    assert.ok(beginsMs >= Math.floor(atMs / 1_000) * 1_000 && beginsMs <= atMs + 1_000, `${beginsMs - atMs} ms off`)
    assert.equal(task.budgetMs, task.delayMs + 60_000)
  }
  const past = await kept({ 'forebay-not-before': '1994-11-06T08:49:37Z' })
  assert.deepEqual([past.task.delayMs, past.task.budgetMs], [0, 60_000])
})

test('a deadline counts from acceptance and outlasts the delay', async () => {
  const { task } = await kept({ 'forebay-delay': '90s', 'forebay-deadline': '91s' })
  assert.deepEqual([task.delayMs, task.budgetMs], [90_000, 91_000])
  const longest = await kept({ 'forebay-delay': '90s', 'forebay-deadline': String(RETENTION_MS / 1_000 + 90) })
  assert.equal(longest.task.budgetMs, RETENTION_MS + 90_000)
  for (const headers of [
    { 'forebay-delay': '90s', 'forebay-deadline': '90s' },
    { 'forebay-delay': '90s', 'forebay-deadline': '10s' },
    { 'forebay-not-before': new Date(clock.wallMs() + 90_000).toISOString(), 'forebay-deadline': '10s' },
  ]) {
    const problem = await refused(headers)
    assert.equal(problem.code, 'BAD_HEADER')
    assert.match(problem.detail, /Forebay-Deadline.*Forebay-(Delay|Not-Before)/)
  }
})

test('a task is pending until its delay and its deadline are over, however long that is', async () => {
  const { task } = await kept({ 'forebay-delay': '30d' })
  const states: unknown[] = []
  for (const aheadMs of [29 * 86_400_000, 30 * 86_400_000 + 80_000, 30 * 86_400_000 + RETENTION_MS + 80_000]) {
    clock.aheadMs = aheadMs
    const answer = (await (await fetch(`${rig.url}/v1/tasks/${task.id}`)).json()) as { state?: string; code?: string }
    states.push(answer.state ?? answer.code)
  }
  clock.aheadMs = 0
  assert.deepEqual(states, ['pending', 'expired', 'TASK_GONE'])
})

const hostile: Record<string, readonly string[]> = {
  'Forebay-Delay': [
    '',
    '-1',
    '-5s',
    '+5s',
    '5 s',
    '5y',
    '1e3',
    '0x10',
    'NaN',
    'Infinity',
    '1s, 2s',
    '٣s',
    '366d',
    '9'.repeat(400),
  ],
  'Forebay-Not-Before': [
    '',
    '90s',
    '0',
    '2026-02-30T00:00:00Z',
    '2026-05-01',
    '9999-12-31T23:59:59Z',
    'Sun, 06 Nov 1994 08:49:37 PST',
  ],
  'Forebay-Priority': ['', '10', '-1', '+1', '4.0', ' 4 4', '0x4', 'high', '٤'],
  'Forebay-Deadline': ['', '0', '-1s', '8d', '9'.repeat(400)],
}
for (const [header, values] of Object.entries(hostile)) {
  for (const value of values) {
    test(`${header}: ${value.slice(0, 40)} is refused, and nothing is kept`, async () => {
      const before = await rig.kept('orders')
      const bytes = Buffer.from(`${header}: ${value}\r\n`).toString('latin1')
      const heard = await sendRaw(rig.port, `${POST}${bytes}Content-Length: 2\r\n\r\nhi`, 150)
      assert.match(heard, /^HTTP\/1\.1 400 /, heard)
      const problem = JSON.parse(heard.slice(heard.indexOf('\r\n\r\n')))
      assert.deepEqual([problem.code, problem.header], ['BAD_HEADER', header])
      assert.equal(await rig.kept('orders'), before)
    })
  }
}

for (const [name, lines] of [
  ['a delay and a moment', 'Forebay-Delay: 5s\r\nForebay-Not-Before: 2099-01-01T00:00:00Z\r\n'],
  [
    'a delay of nothing and a moment that has passed',
    'Forebay-Delay: 0s\r\nForebay-Not-Before: 1999-01-01T00:00:00Z\r\n',
  ],
  ['two delays', 'Forebay-Delay: 5s\r\nForebay-Delay: 5s\r\n'],
  ['two moments', 'Forebay-Not-Before: 1999-01-01T00:00:00Z\r\nForebay-Not-Before: 1999-01-01T00:00:00Z\r\n'],
  ['two priorities', 'Forebay-Priority: 4\r\nForebay-Priority: 4\r\n'],
] as const) {
  test(`${name}: refused, and nothing is kept`, async () => {
    const before = await rig.kept('orders')
    const heard = await sendRaw(rig.port, `${POST}${lines}Content-Length: 2\r\n\r\nhi`, 150)
    assert.match(heard, /^HTTP\/1\.1 400 .*"code":"BAD_HEADER"/s)
    assert.equal(await rig.kept('orders'), before)
  })
}

test('under an idempotency key a moment is the same however late it is asked for again, another delay is not', async () => {
  const moment = { 'idempotency-key': 'm', 'forebay-not-before': new Date(clock.wallMs() + 60_000).toISOString() }
  const first = await post(moment)
  clock.aheadMs = 30_000
  const again = await post(moment)
  clock.aheadMs = 0
  assert.equal(again.headers.get('location'), first.headers.get('location'))
  assert.equal(again.headers.get('idempotent-replayed'), 'true')
  for (const other of [
    { 'idempotency-key': 'm' },
    { 'idempotency-key': 'm', 'forebay-delay': '60s' },
    { ...moment, 'forebay-priority': '5' },
  ]) {
    assert.equal((await refused(other)).code, 'IDEMPOTENCY_MISMATCH')
  }
})

test('where delays have no place to wait they are refused with the way out; all else goes on', async (t) => {
  const other = await openDoorsRig({ delays: false })
  t.after(() => other.stop())
  for (const headers of [{ 'forebay-delay': '1ms' }, { 'forebay-not-before': inAnHour() }] as const) {
    const response = await post(headers, '/v1/queues/orders/tasks', other.url)
    assert.equal(response.status, 501)
    const problem = (await response.json()) as Problem
    assert.equal(problem.code, 'DELAY_UNAVAILABLE')
    assert.match(problem.detail, /postgres.*embedded/)
  }
  for (const headers of [
    { 'forebay-delay': '0s' },
    { 'forebay-not-before': '1999-01-01T00:00:00Z' },
    { 'forebay-priority': '9', 'forebay-deadline': '5s' },
  ]) {
    assert.equal((await post(headers, '/v1/queues/orders/tasks', other.url)).status, 202)
  }
  assert.equal(await other.kept('orders'), 3)
})

test('gRPC says the same in its own fields', async () => {
  const at = timestampFromMs(clock.wallMs() + 3_600_000)
  for (const [fields, delayMs, budgetMs, priority] of [
    [{}, 0, 60_000, 4],
    [{ delay: { seconds: 90n, nanos: 500_000_000 } }, 90_500, 150_500, 4],
    [{ delay: { seconds: 90n }, deadline: { seconds: 91n }, priority: 0 }, 90_000, 91_000, 0],
    [{ notBefore: { seconds: 5n } }, 0, 60_000, 4],
    [{ notBefore: at, priority: 9 }, null, null, 9],
  ] as const) {
    const { id } = (await submit(fields)).task!
    const task = decoded((await recordOf(id))!)
    assert.equal(task.priority, priority)
    if (delayMs !== null) assert.deepEqual([task.delayMs, task.budgetMs], [delayMs, budgetMs])
    else assert.ok(Math.abs(task.acceptedAtMs + task.delayMs - Number(at.seconds) * 1_000) <= 1_000)
  }
})

test('gRPC refuses what is malformed, contradictory or too far', async () => {
  const before = await rig.kept('orders')
  for (const fields of [
    { delay: { seconds: -1n } },
    { delay: { seconds: 1n, nanos: -1 } },
    { delay: { seconds: 0n, nanos: 2_000_000_000 } },
    { delay: { seconds: 366n * 86_400n } },
    { delay: { seconds: 2n ** 62n } },
    { delay: { seconds: 5n }, notBefore: { seconds: 5n } },
    { delay: { seconds: 5n }, deadline: { seconds: 5n } },
    { notBefore: { seconds: 5n, nanos: -1 } },
    { notBefore: { seconds: -(2n ** 62n) } },
    { notBefore: { seconds: 2n ** 62n } },
    { deadline: { seconds: 8n * 86_400n } },
    { priority: 10 },
    { priority: 4_294_967_295 },
  ]) {
    const error = await submit(fields).then(
      () => assert.fail(JSON.stringify(fields, (_, value) => (typeof value === 'bigint' ? String(value) : value))),
      (thrown: ServiceError) => thrown,
    )
    assert.equal(error.code, status.INVALID_ARGUMENT, error.details)
    assert.deepEqual(error.metadata.get('forebay-error'), ['BAD_REQUEST'])
  }
  assert.equal(await rig.kept('orders'), before)
})

const POST = 'POST /v1/queues/orders/tasks HTTP/1.1\r\nHost: a\r\n'

interface Problem {
  readonly code: string
  readonly detail: string
}

function inAnHour(): string {
  return new Date(clock.wallMs() + 3_600_000).toISOString()
}

async function kept(headers: Record<string, string>, path?: string): Promise<{ task: Task; record: LogRecord }> {
  const response = await post(headers, path)
  const text = await response.text()
  assert.equal(response.status, 202, text)
  const record = await recordOf((JSON.parse(text) as { id: string }).id)
  return { task: decoded(record), record }
}

async function refused(headers: Record<string, string>): Promise<Problem> {
  const response = await post(headers)
  assert.ok(response.status === 400 || response.status === 422, String(response.status))
  return (await response.json()) as Problem
}

function post(headers: Record<string, string>, path = '/v1/queues/orders/tasks', url = rig.url): Promise<Response> {
  return fetch(url + path, { method: 'POST', body: 'hi', headers })
}

function submit(fields: MessageInitShape<typeof SubmitRequestSchema>): Promise<SubmitResponse> {
  const { path, requestSerialize, responseDeserialize } = grpcDefinition(TaskService).Submit!
  const request = create(SubmitRequestSchema, { queue: 'orders', payload: Buffer.from('hi'), ...fields })
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, (error, response) =>
      error === null ? resolve(response as SubmitResponse) : reject(error),
    )
  })
}

/** It is in the log already: it was acknowledged. */
async function recordOf(id: string): Promise<LogRecord> {
  const listener = await rig.broker.listen({ topic: taskTopic('orders'), partition: 0, from: 'earliest' })
  try {
    for await (const records of listener) {
      for (const record of records) if (decoded(record).id === id) return record
    }
  } finally {
    await listener.close()
  }
  throw new Error(`Task ${id} is not in the log.`)
}

function decoded(record: LogRecord): Task {
  return decodeTask(record, { queue: 'orders', budgetMs: 1, lanes: 4 })
}
