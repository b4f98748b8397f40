import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { TASK_OVERHEAD_BYTES } from '../src/accept/admission.ts'
import { EXPIRED_GRACE_MS } from '../src/accept/read-task.ts'
import type { Result } from '../src/task.ts'
import { clockAhead } from './support/clock-ahead.ts'
import { accessKeys, type DoorsRig, openDoorsRig, queueOptions } from './support/doors-rig.ts'

let rig: DoorsRig
before(async () => {
  rig = await openDoorsRig({ queues: [queueOptions('orders', { partitions: 1 })], http: { waitMaxMs: 2_000 } })
})
after(() => rig.stop())

const succeeded = (payload: string | Buffer, contentType = 'text/plain'): Result['end'] => ({
  state: 'succeeded',
  payload: Buffer.from(payload),
  contentType,
})

test('a caller who waits gets the result itself, with its content type', async () => {
  const payload = Buffer.from([0, 255, 13, 10, 128])
  const response = await postAndEnd('wait=2', succeeded(payload, 'image/png'))
  assert.equal(response.status, 200)
  assert.deepEqual(Buffer.from(await response.arrayBuffer()), payload)
  assert.equal(response.headers.get('content-type'), 'image/png')
  assert.equal(response.headers.get('forebay-state'), 'succeeded')
  assert.equal(response.headers.get('preference-applied'), 'wait=2')
  assert.equal(response.headers.get('x-content-type-options'), 'nosniff')
  assert.equal(response.headers.get('location'), `/v1/tasks/${response.headers.get('forebay-task')}`)
})

test('a task that ended otherwise answers with the problem of its fault', async () => {
  const end = { state: 'dead', fault: { code: 'WORKER_FAILED', detail: 'The printer is on fire.' } } as const
  const response = await postAndEnd('wait=2', end)
  assert.equal(response.status, 502)
  assert.equal(response.headers.get('forebay-state'), 'dead')
  assert.deepEqual(await response.json(), {
    type: 'urn:forebay:problem:worker-failed',
    title: 'Worker failed',
    status: 502,
    detail: 'The printer is on fire.',
    task: response.headers.get('forebay-task'),
    state: 'dead',
    attempts: 1,
    code: 'WORKER_FAILED',
    retryable: true,
  })
})

test('a wait that is over is answered with 202 and the task goes on', async () => {
  const response = await post('wait=0.05')
  assert.equal(response.status, 202)
  assert.equal(response.headers.get('preference-applied'), 'wait=0.05')
  const { id } = (await response.json()) as { id: string }
  await rig.end(id, succeeded('late'))
  const later = await fetch(`${rig.url}/v1/tasks/${id}/result`, { headers: { prefer: 'wait=2' } })
  assert.equal(await later.text(), 'late')
})

test('a wait that is too long is cut, and a wrong one keeps nothing', async () => {
  const cut = await postAndEnd('wait=1e9', succeeded('x'))
  assert.equal(cut.headers.get('preference-applied'), 'wait=2')
  const kept = await rig.kept('orders')
  for (const prefer of ['wait=-1', 'wait=abc']) {
    const response = await post(prefer)
    assert.equal(response.status, 400)
    const { code, detail } = (await response.json()) as { code: string; detail: string }
    assert.equal(code, 'BAD_HEADER')
    assert.ok(detail.includes(prefer))
  }
  assert.equal(await rig.kept('orders'), kept)
})

test('the state of a task is told at every point, and everybody reads the same end', async () => {
  const { id } = (await (await post(null)).json()) as { id: string }
  const open = (await (await fetch(`${rig.url}/v1/tasks/${id}`)).json()) as Standing
  assert.equal(open.state, 'pending')
  assert.equal(open.finishedAt, undefined)
  const early = await fetch(`${rig.url}/v1/tasks/${id}/result`)
  assert.equal(early.status, 409)
  assert.equal(early.headers.get('retry-after'), '1')
  const waiting = fetch(`${rig.url}/v1/tasks/${id}`, { headers: { prefer: 'wait=2' } })
  await rig.end(id, succeeded('first'))
  await rig.end(id, succeeded('second'))
  const ended = (await (await waiting).json()) as Standing
  assert.equal(ended.state, 'succeeded')
  assert.equal(ended.attempts, 1)
  assert.equal(ended.id, id)
  assert.ok(Date.parse(ended.finishedAt!) > 0)
  assert.equal(ended.problem, undefined)
  for (let read = 0; read < 3; read++) {
    assert.equal(await (await fetch(rig.url + ended.links.result)).text(), 'first')
  }
})

test('the problem of a failed task is part of its state', async () => {
  const { id } = (await (await post(null)).json()) as { id: string }
  await rig.end(id, { state: 'failed', fault: { code: 'WORKER_REFUSED', detail: 'No.' } }, { attempts: 2 })
  const standing = (await (await fetch(`${rig.url}/v1/tasks/${id}`)).json()) as Standing
  assert.equal(standing.state, 'failed')
  assert.equal(standing.attempts, 2)
  assert.equal(standing.problem!.code, 'WORKER_REFUSED')
  assert.equal((await fetch(`${rig.url}/v1/tasks/${id}/result`)).status, 422)
})

test('a content type that a worker made up sets no header of its own', async () => {
  for (const contentType of ['text/html\r\nSet-Cookie: a=1', 'text/html; x=\u00e9', 'nonsense', '']) {
    const response = await postAndEnd('wait=2', succeeded('<script>', contentType))
    assert.equal(response.status, 200)
    assert.equal(response.headers.get('content-type'), 'application/octet-stream')
    assert.equal(response.headers.get('set-cookie'), null)
  }
  const html = await postAndEnd('wait=2', succeeded('<script>', 'text/html'))
  assert.equal(html.headers.get('content-type'), 'text/html')
  assert.equal(html.headers.get('content-security-policy'), "default-src 'none'; sandbox")
})

test('a result that claims another owner is not shown', async () => {
  const { id } = (await (await post(null)).json()) as { id: string }
  await rig.end(id, succeeded('x'), { owner: 'somebody' })
  assert.equal((await fetch(`${rig.url}/v1/tasks/${id}`)).status, 404)
})

test('beyond the bound of waiters the answer is 202 at once, and says that nobody waited', async () => {
  const small = await openDoorsRig({ http: { waitersMax: 1, waitMaxMs: 10_000 } })
  const waiting = fetch(`${small.url}/v1/queues/orders/tasks`, { method: 'POST', headers: { prefer: 'wait=10' } })
  await until(() => waitersOf(small), 1)
  const response = await fetch(`${small.url}/v1/queues/orders/tasks`, {
    method: 'POST',
    headers: { prefer: 'wait=10' },
  })
  assert.equal(response.status, 202)
  assert.equal(response.headers.get('preference-applied'), null)
  await small.stop()
  assert.equal((await waiting).status, 202)
})

test('a caller who hangs up frees its place, and its task is kept', async () => {
  const kept = await rig.kept('orders')
  const socket = connect(rig.port, '127.0.0.1')
  socket.write('POST /v1/queues/orders/tasks HTTP/1.1\r\nHost: a\r\nPrefer: wait=2\r\nContent-Length: 2\r\n\r\nhi')
  await until(() => waitersOf(rig), 1)
  socket.destroy()
  await until(() => waitersOf(rig), 0)
  assert.equal(await rig.kept('orders'), kept + 1)
})

test('a malformed request behind one that waits never gets to answer in its place', async () => {
  const socket = connect(rig.port, '127.0.0.1')
  let heard = ''
  socket.on('data', (chunk) => {
    heard += chunk
  })
  socket.on('error', () => {})
  const closed = new Promise((resolve) => socket.on('close', resolve))
  socket.write('POST /v1/queues/orders/tasks HTTP/1.1\r\nHost: a\r\nPrefer: wait=2\r\nContent-Length: 2\r\n\r\nhi')
  await until(() => waitersOf(rig), 1)
  socket.write('NONSENSE\r\n\r\n')
  await closed
  assert.equal(heard, '')
  await until(() => waitersOf(rig), 0)
})

test('a stop lets those who wait go with 202, finishes what is half sent, takes nothing new, and closes', async () => {
  const stopping = await openDoorsRig()
  const url = `${stopping.url}/v1/queues/orders/tasks`
  const socket = connect(stopping.port, '127.0.0.1')
  let heard = ''
  socket.on('data', (chunk) => {
    heard += chunk
  })
  const ended = new Promise((resolve) => socket.on('close', resolve))
  socket.write('POST /v1/queues/orders/tasks HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n')
  await until(async () => stopping.doors.admission.bytes, TASK_OVERHEAD_BYTES)
  const waiting = fetch(url, { method: 'POST', headers: { prefer: 'wait=30' } })
  await until(() => waitersOf(stopping), 1)
  const stopped = stopping.doors.http.stop(10_000)
  const released = await waiting
  assert.equal(released.status, 202)
  assert.equal(released.headers.get('connection'), 'close')
  await assert.rejects(fetch(url, { method: 'POST' }))
  socket.write('hi')
  await ended
  assert.match(heard, /^HTTP\/1\.1 202 /)
  assert.equal(await stopped, 0, 'no connection had to be cut')
  assert.equal(await stopping.kept('orders'), 2)
  await stopping.stop()
})

test('what nobody ever heard of is pending until its deadline, expired after it, gone after retention', async () => {
  const clock = clockAhead()
  const aging = await openDoorsRig({
    clock,
    retentionMs: 3_600_000,
    queues: [queueOptions('orders', { deadlineMs: 60_000 })],
  })
  const { id } = (await (await fetch(`${aging.url}/v1/queues/orders/tasks`, { method: 'POST' })).json()) as {
    id: string
  }
  const read = (path = '') => fetch(`${aging.url}/v1/tasks/${id}${path}`)
  clock.aheadMs = 60_000 - 1_000
  assert.equal(((await (await read()).json()) as Standing).state, 'pending')
  clock.aheadMs = 60_000 + EXPIRED_GRACE_MS + 2_000
  const expired = (await (await read()).json()) as Standing
  assert.equal(expired.state, 'expired')
  assert.equal(expired.problem!.code, 'TASK_EXPIRED')
  assert.equal((await read('/result')).status, 504)
  clock.aheadMs = 60_000 + 3_600_000 + 2_000
  for (const path of ['', '/result']) {
    const gone = await read(path)
    assert.equal(gone.status, 410)
    assert.equal(((await gone.json()) as { code: string }).code, 'TASK_GONE')
  }
  await aging.stop()
})

test('only a principal reads what it handed in, whoever else knows the id', async () => {
  const two = await openDoorsRig({ auth: accessKeys({ ann: 'a', bob: 'b' }) })
  const as = (key: string) => ({ headers: { authorization: `Bearer ${key}` } })
  const kept = await fetch(`${two.url}/v1/queues/orders/tasks`, { method: 'POST', ...as('a') })
  const { id } = (await kept.json()) as { id: string }
  await two.end(id, succeeded('secret'), { owner: 'ann' })
  assert.equal(await (await fetch(`${two.url}/v1/tasks/${id}/result`, as('a'))).text(), 'secret')
  assert.equal((await fetch(`${two.url}/v1/tasks/${id}/result`, as('b'))).status, 404)
  await two.stop()
})

interface Standing {
  readonly id: string
  readonly state: string
  readonly attempts: number
  readonly finishedAt?: string
  readonly problem?: { readonly code: string }
  readonly links: { readonly result: string }
}

function post(prefer: string | null): Promise<Response> {
  const headers: Record<string, string> = prefer === null ? {} : { prefer }
  return fetch(`${rig.url}/v1/queues/orders/tasks`, { method: 'POST', body: 'x', headers })
}

/** Plays the worker for one task: waits until it is in the log, then ends it. */
async function postAndEnd(prefer: string, end: Result['end']): Promise<Response> {
  const listener = await rig.broker.listen({ topic: 'forebay.tasks.orders', partition: 0, from: 'latest' })
  const answered = post(prefer)
  for await (const [record] of listener) {
    const [, id] = record!.headers.find(([name]) => name === 'ce_id')!
    await rig.end(Buffer.from(id).toString(), end)
    break
  }
  await listener.close()
  return answered
}

async function waitersOf({ telemetry }: DoorsRig): Promise<number> {
  return (await telemetry.metrics.waiters.get()).values[0]!.value
}

async function until(read: () => Promise<number>, wanted: number): Promise<void> {
  while ((await read()) !== wanted) await new Promise((resolve) => setTimeout(resolve, 2))
}
