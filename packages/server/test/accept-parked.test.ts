import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { LogRecord } from '@forebay/broker'
import type { Owned, Parking, RowToPark } from '../src/store/parking.ts'
import { type DoorsRig, openDoorsRig, queueOptions } from './support/doors-rig.ts'

/** What operators see and wish for, on a real store; the test plays the dispatcher that owns the rows. */

let rig: DoorsRig
let parking: Parking
let orders: Owned
let photos: Owned
before(async () => {
  rig = await openDoorsRig({
    queues: [
      queueOptions('orders', { schema: { type: 'object', required: ['customer'] }, bodyBytesMax: 1_000 }),
      queueOptions('photos'),
    ],
  })
  parking = rig.store.parking!
  orders = await own('orders')
  photos = await own('photos')
  await parking.park(orders, [
    row('a', 1, {
      reason: 'exhausted',
      line: 'ann',
      attempts: 5,
      losses: 1,
      fault: { code: 'WORKER_FAILED', detail: 'no' },
    }),
    row('b', 2, { reason: 'behind', line: 'ann' }),
    row('c', 3, { reason: 'delayed', dueInMs: 3_600_000 }),
  ])
  await parking.park(photos, [row('p', 1, { reason: 'backoff', dueInMs: 60_000 }, Buffer.from([0xff, 0x00, 0xfe]))])
})
after(() => rig.stop())

test('a list says of each task why it waits and until when, and how many there are', async () => {
  const { parked, total, next } = (await get('/v1/admin/parked')).body as Page
  assert.deepEqual(new Set(parked.map(({ id }) => id)), new Set(['a', 'b', 'c', 'p']))
  assert.deepEqual([total, next], [4, null])
  const first = parked.find(({ id }) => id === 'a')!
  const { parkedAt, deadlineAt, ...rest } = first
  assert.ok(Math.abs(Date.parse(parkedAt) - Date.now()) < 60_000)
  assert.ok(Date.parse(deadlineAt) > Date.now())
  assert.deepEqual(rest, {
    id: 'a',
    queue: 'orders',
    key: 'ann',
    owner: 'shop',
    reason: 'exhausted',
    attempts: 5,
    losses: 1,
    fault: { code: 'WORKER_FAILED', detail: 'no' },
    dueAt: null,
    wish: null,
    partition: 0,
    offset: 1,
    bytes: 14,
  })
  const delayed = parked.find(({ id }) => id === 'c')!
  assert.ok(Math.abs(Date.parse(delayed.dueAt!) - Date.now() - 3_600_000) < 60_000)
})

test('a list is narrowed by queue, key and reason, and comes in pages', async () => {
  for (const [query, ids] of [
    ['queue=photos', ['p']],
    ['queue=orders&key=ann', ['a', 'b']],
    ['reason=delayed', ['c']],
    ['queue=photos&reason=delayed', []],
    ['key=nobody', []],
  ] as const) {
    const { parked, total } = (await get(`/v1/admin/parked?${query}`)).body as Page
    assert.deepEqual(new Set(parked.map(({ id }) => id)), new Set(ids), query)
    assert.equal(total, ids.length)
  }
  const seen: string[] = []
  let after = ''
  for (let pages = 0; pages < 10; pages++) {
    const { parked, total, next } = (await get(`/v1/admin/parked?queue=orders&limit=1${after}`)).body as Page
    assert.equal(total, 3)
    seen.push(...parked.map(({ id }) => id))
    if (next === null) break
    after = `&after=${encodeURIComponent(next)}`
  }
  assert.equal(seen.length, 3)
  assert.deepEqual(new Set(seen), new Set(['a', 'b', 'c']))
})

test('a question that makes no sense is refused with what is right', async () => {
  for (const [query, says] of [
    ['limit=0', /limit.*1 to 1000/],
    ['limit=1001', /limit/],
    ['limit=ten', /limit/],
    ['reason=bored', /delayed, backoff/],
    ['queu=orders', /did you mean queue/],
    ['queue=orders&queue=photos', /twice/],
    ['after=', /after/],
    [`after=${'x'.repeat(600)}`, /after/],
  ] as const) {
    const { status, body } = await get(`/v1/admin/parked?${query}`)
    const { code, detail } = body as Problem
    assert.deepEqual([status, code], [400, 'BAD_REQUEST'], query)
    assert.match(detail, says)
  }
  const { status, body } = await get('/v1/admin/parked?queue=order')
  assert.deepEqual([status, (body as Problem).code], [404, 'QUEUE_NOT_FOUND'])
})

test('one task is shown whole, its body as text or in base64', async () => {
  const text = (await get(`${ORDERS}/a`)).body as Whole
  assert.deepEqual([text.id, text.contentType, text.body, text.offset], ['a', 'application/json', '{"customer":1}', 1])
  const bytes = (await get('/v1/admin/queues/photos/parked/p')).body as Whole
  assert.deepEqual([bytes.body, bytes.bodyBase64, bytes.bytes], [undefined, '/wD+', 3])
})

test('what an operator wishes is written down for the dispatcher', async () => {
  for (const wish of ['retry', 'release', 'skip'] as const) {
    const { status, body } = await ask('POST', `${ORDERS}/a/${wish}`)
    assert.equal(status, 202)
    assert.deepEqual(body, { id: 'a', queue: 'orders', wish })
    assert.equal((await parking.find('orders', 'a'))!.wish, wish)
  }
})

test('another body takes the place of the one that was there, within the rules of its queue', async () => {
  const { status, body } = await ask('PUT', `${ORDERS}/c/body`, '{"customer":2}')
  assert.equal(status, 200, JSON.stringify(body))
  const kept = (await get(`${ORDERS}/c`)).body as Whole
  assert.deepEqual([kept.body, kept.contentType], ['{"customer":2}', 'application/json'], 'the type stays')
  await ask('PUT', `${ORDERS}/c/body`, '{"customer":3}', 'application/vnd.order+json')
  assert.equal(((await get(`${ORDERS}/c`)).body as Whole).contentType, 'application/vnd.order+json')
  for (const [text, code] of [
    ['{"customer"', 'MALFORMED_JSON'],
    ['{}', 'SCHEMA_MISMATCH'],
    [`{"customer":"${'x'.repeat(1_000)}"}`, 'TASK_TOO_LARGE'],
  ] as const) {
    assert.equal(((await ask('PUT', `${ORDERS}/c/body`, text)).body as Problem).code, code)
  }
  assert.equal(((await get(`${ORDERS}/c`)).body as Whole).body, '{"customer":3}')
})

test('a task under an attempt is left alone, one that is not there is not found', async () => {
  await parking.park(photos, [row('t', 9, { reason: 'delayed', dueInMs: 0 })])
  await taken('t')
  for (const [method, act] of [
    ['POST', 'retry'],
    ['PUT', 'body'],
  ] as const) {
    const busy = await ask(method, `/v1/admin/queues/photos/parked/t/${act}`, method === 'PUT' ? '{}' : undefined)
    assert.deepEqual([busy.status, (busy.body as Problem).code, busy.retryAfter], [409, 'PARKED_BUSY', '1'])
    const missing = await ask(
      method,
      `/v1/admin/queues/photos/parked/nobody/${act}`,
      method === 'PUT' ? '{}' : undefined,
    )
    assert.deepEqual([missing.status, (missing.body as Problem).code], [404, 'PARKED_NOT_FOUND'])
  }
  for (const path of ['/v1/admin/queues/photos/parked/a', '/v1/admin/queues/photos/parked/%27%20OR%201=1']) {
    assert.equal(((await get(path)).body as Problem).code, 'PARKED_NOT_FOUND')
  }
  assert.equal(((await get('/v1/admin/queues/nope/parked/a')).body as Problem).code, 'QUEUE_NOT_FOUND')
})

test('where nothing is ever parked the answer says so', async (t) => {
  const other = await openDoorsRig({ delays: false })
  t.after(() => other.stop())
  for (const [method, path] of [
    ['GET', '/v1/admin/parked'],
    ['GET', `${ORDERS}/a`],
    ['POST', `${ORDERS}/a/skip`],
  ] as const) {
    const response = await fetch(other.url + path, { method })
    assert.equal(response.status, 501)
    assert.equal(((await response.json()) as Problem).code, 'PARKING_UNAVAILABLE')
  }
})

const ORDERS = '/v1/admin/queues/orders/parked'

interface Summary {
  readonly id: string
  readonly parkedAt: string
  readonly dueAt: string | null
  readonly deadlineAt: string
}

interface Page {
  readonly parked: readonly Summary[]
  readonly total: number
  readonly next: string | null
}

interface Whole {
  readonly id: string
  readonly contentType: string
  readonly offset: number
  readonly bytes: number
  readonly body?: string
  readonly bodyBase64?: string
}

interface Problem {
  readonly code: string
  readonly detail: string
}

async function own(queue: string): Promise<Owned> {
  const { epoch } = await parking.own(queue, 0)
  return { queue, partition: 0, epoch }
}

function row(
  taskId: string,
  offset: number,
  other: Partial<RowToPark> & Pick<RowToPark, 'reason'>,
  value: Buffer = Buffer.from('{"customer":1}'),
): RowToPark {
  const record: LogRecord = {
    topic: 'forebay.tasks.orders',
    partition: 0,
    offset,
    timestampMs: Date.now(),
    key: null,
    value,
    headers: [
      ['ce_id', Buffer.from(taskId)],
      ['content-type', Buffer.from('application/json')],
    ],
  }
  const plain = { owner: 'shop', line: null, attempts: 0, losses: 0, fault: null, dueInMs: null }
  return { record, taskId, ...plain, deadlineInMs: 86_400_000, ...other }
}

/** Until the dispatcher has this task in hand. */
async function taken(taskId: string): Promise<void> {
  for (;;) {
    const { rows } = await parking.take('photos', [photos], 10)
    if (rows.some((one) => one.taskId === taskId)) return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

function get(path: string) {
  return ask('GET', path)
}

async function ask(method: string, path: string, body?: string, contentType?: string) {
  const headers = contentType === undefined ? {} : { 'content-type': contentType }
  // Bytes have no type of their own to fetch.
  const init = { method, headers, ...(body === undefined ? {} : { body: Buffer.from(body) }) }
  const response = await fetch(rig.url + path, init)
  return { status: response.status, retryAfter: response.headers.get('retry-after'), body: await response.json() }
}
