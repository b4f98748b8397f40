import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { once } from 'node:events'
import { get as httpGet } from 'node:http'
import { Writable } from 'node:stream'
import { after, before, test } from 'node:test'
import { ForebayError } from '@forebay/protocol'
import { pino } from 'pino'
import type { AdminRequest, AdminRoute } from '../src/accept/admin-routes.ts'
import { accessKeys, type DoorsRig, openDoorsRig, sendRaw } from './support/doors-rig.ts'

/** The door of operators, with routes of the test's own behind it. */

const auth = {
  keys: [
    ...accessKeys({ ann: 'a' }).keys,
    { principal: 'root', sha256: hash('sha256', 'r'), operator: true },
    { principal: 'root', sha256: hash('sha256', 's') },
  ],
}

const asked: AdminRequest[] = []
const routes: readonly AdminRoute[] = [
  {
    method: 'POST',
    path: '/v1/admin/things/{queue}/{task}',
    action: 'thing.do',
    handle: async (request) => {
      asked.push(request)
      if (request.query.get('fail') !== null) throw new ForebayError('PARKED_BUSY', 'It is busy.')
      return { status: 201, json: { done: true }, audit: { count: 3 } }
    },
  },
  {
    method: 'GET',
    path: '/v1/admin/things',
    action: 'thing.list',
    handle: async () => ({ status: 200, json: { things: [] } }),
  },
  {
    method: 'GET',
    path: '/v1/admin/lines',
    action: 'lines',
    handle: async ({ query, signal }) => ({ status: 200, ndjson: lines(Number(query.get('count')), signal) }),
  },
]

let given = 0
let ended = 0
async function* lines(count: number, signal: AbortSignal): AsyncGenerator<object> {
  try {
    for (let n = 0; n < Math.abs(count) && !signal.aborted; n++) {
      given++
      yield { n, filler: 'x'.repeat(1_000) }
    }
    if (count < 0) throw new ForebayError('BROKER_UNAVAILABLE', 'The log is away.')
  } finally {
    ended++
  }
}

const logged: Record<string, unknown>[] = []
const log = pino(
  {},
  new Writable({
    write(chunk: Buffer, _encoding, done) {
      logged.push(JSON.parse(chunk.toString()))
      done()
    },
  }),
)

let rig: DoorsRig
before(async () => {
  rig = await openDoorsRig({ auth, adminRoutes: routes, log, http: { bodyBytesMax: 10_000 } })
})
after(() => rig.stop())

test('an operator gets through, by each of its keys; its route sees the request whole', async () => {
  for (const key of ['r', 's']) {
    const response = await ask('POST', '/v1/admin/things/orders/a%2Fb?x=1&y=%26', key, 'body')
    assert.equal(response.status, 201)
    assert.deepEqual(await response.json(), { done: true })
  }
  const [request] = asked
  assert.deepEqual({ ...request!.params }, { queue: 'orders', task: 'a/b' })
  assert.deepEqual(
    [...request!.query],
    [
      ['x', '1'],
      ['y', '&'],
    ],
  )
  assert.equal(Buffer.from(request!.body).toString(), 'body')
  assert.equal(request!.contentType, 'text/plain')
  assert.equal(request!.principal, 'root')
})

test('whatever an operator changes, or tries to, leaves one audit line; reading leaves none', async () => {
  logged.length = 0
  await ask('POST', '/v1/admin/things/orders/t1', 'r')
  await ask('POST', '/v1/admin/things/orders/t2?fail', 'r')
  await ask('POST', '/v1/admin/things/orders/t3', 'a')
  await ask('GET', '/v1/admin/things', 'r')
  const about = logged
    .filter((line) => line.audit === true)
    .map(({ principal, action, queue, task, status, refused, count }) => {
      return { principal, action, queue, task, status, refused, count }
    })
  const common = { action: 'thing.do', queue: 'orders' }
  assert.deepEqual(about, [
    { ...common, principal: 'root', task: 't1', status: 201, refused: undefined, count: 3 },
    { ...common, principal: 'root', task: 't2', status: undefined, refused: 'PARKED_BUSY', count: undefined },
    { ...common, principal: 'ann', task: 't3', status: undefined, refused: 'FORBIDDEN', count: undefined },
  ])
})

test('nobody else gets through, whatever there is behind it, and no body is read', async () => {
  asked.length = 0
  for (const path of ['/v1/admin/things/orders/t', '/v1/admin/queues/nope/parked/x/retry']) {
    const response = await ask('POST', path, 'a')
    assert.equal(response.status, 403)
    assert.equal(((await response.json()) as { code: string }).code, 'FORBIDDEN')
    assert.equal((await ask('POST', path, 'nobody')).status, 401)
  }
  const huge =
    'POST /v1/admin/things/o/t HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a\r\nContent-Length: 9000\r\n\r\n'
  assert.match(await sendRaw(rig.port, huge, 200), /^HTTP\/1\.1 403 /)
  assert.deepEqual(asked, [])
})

test('what is too large, unknown or by another method is refused as everywhere', async () => {
  assert.equal((await ask('POST', '/v1/admin/things/o/t', 'r', 'x'.repeat(10_001))).status, 413)
  assert.equal((await ask('GET', '/v1/admin/nothing', 'r')).status, 404)
  const response = await ask('DELETE', '/v1/admin/things', 'r')
  assert.equal(response.status, 405)
  assert.equal(response.headers.get('allow'), 'GET, HEAD')
  assert.equal(rig.doors.admission.bytes, 0)
})

test('while no keys are configured everybody is an operator', async () => {
  const open = await openDoorsRig({ adminRoutes: routes })
  assert.equal((await fetch(`${open.url}/v1/admin/things`)).status, 200)
  await open.stop()
})

test('long answers come line by line, as fast as they are read', async () => {
  const response = await ask('GET', '/v1/admin/lines?count=2000', 'r')
  assert.equal(response.headers.get('content-type'), 'application/x-ndjson')
  const all = (await response.text())
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as { n: number }).n)
  assert.deepEqual(
    all,
    Array.from({ length: 2_000 }, (_, n) => n),
  )
})

test('what goes wrong half-way is the last line', async () => {
  const response = await ask('GET', '/v1/admin/lines?count=-2', 'r')
  const all = (await response.text())
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as { problem?: { code: string } })
  assert.deepEqual(
    all.map(({ problem }) => problem?.code),
    [undefined, undefined, 'BROKER_UNAVAILABLE'],
  )
})

test('who stops reading holds the run back, and who leaves ends it', async () => {
  given = 0
  ended = 0
  const request = httpGet(`${rig.url}/v1/admin/lines?count=1000000`, { headers: { authorization: 'Bearer r' } })
  const [response] = (await once(request, 'response')) as [import('node:http').IncomingMessage]
  let before = -1
  while (given !== before) {
    before = given
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  assert.ok(given > 0 && given < 100_000, `${given} lines for nobody`)
  response.destroy()
  while (ended === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  assert.ok(given < 100_000)
})

function ask(method: string, path: string, key: string, body?: string): Promise<Response> {
  const headers = { authorization: `Bearer ${key}`, ...(body === undefined ? {} : { 'content-type': 'text/plain' }) }
  return fetch(rig.url + path, { method, headers, ...(body === undefined ? {} : { body }) })
}
