import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { systemClock, systemRandom } from '@forebay/broker'
import { createBlobs } from '../src/blobs/create-blobs.ts'
import { type BlobServer, echo, folder, httpTarget, MIB, startBlobServer } from './support/blob-server.ts'
import { clockAhead } from './support/clock-ahead.ts'
import { type FaultyBlobs, faultyBlobs } from './support/faulty-blobs.ts'

test('while large bodies have no place, they are refused and nothing is kept; small ones pass', async (t) => {
  const { server, blobs, target } = await rig(t)
  blobs.down = true
  const headers = { 'Idempotency-Key': 'again' }
  const body = randomBytes(2 * MIB)
  const refused = await post(server, body, headers)
  assert.equal(refused.status, 503)
  assert.equal(refused.headers.get('retry-after'), '1')
  const problem = (await refused.json()) as { code: string; retryable: boolean }
  assert.deepEqual([problem.code, problem.retryable], ['BLOB_UNAVAILABLE', true])
  assert.equal((await post(server, Buffer.from('small'), { Prefer: 'wait=10' })).status, 200)
  blobs.down = false
  const again = await post(server, body, { ...headers, Prefer: 'wait=10' })
  assert.equal(again.status, 200)
  assert.equal(again.headers.get('idempotent-replayed'), null, 'the first one left no claim behind')
  assert.equal(target.calls, 2)
})

test('a task whose body cannot be got waits without spending its attempts, and others of its queue go on', async (t) => {
  const { server, blobs, target } = await rig(t, { retry: { attempts: 1 }, concurrency: 1 })
  const gate = gateOf(blobs)
  const body = randomBytes(2 * MIB)
  const accepted = await post(server, body)
  assert.equal(accepted.status, 202)
  while (blobs.refused < 2) await systemClock.sleep(20)
  assert.equal((await post(server, Buffer.from('small'), { Prefer: 'wait=10' })).status, 200)
  assert.equal(target.calls, 1)
  gate.open()
  const { id } = (await accepted.json()) as { id: string }
  const answer = await fetch(`${server.url}/v1/tasks/${id}/result`, { headers: { Prefer: 'wait=20' } })
  assert.equal(Buffer.compare(Buffer.from(await answer.arrayBuffer()), body), 0)
  const task = (await (await fetch(`${server.url}/v1/tasks/${id}`)).json()) as { attempts: number }
  assert.equal(task.attempts, 1)
})

test('a task whose body is gone becomes a dead letter that says so', async (t) => {
  const { server, blobs, target, dir } = await rig(t)
  const gate = gateOf(blobs)
  const accepted = await post(server, randomBytes(2 * MIB))
  for (const name of readdirSync(join(dir, 'blobs'))) {
    if (name.endsWith('Z')) rmSync(join(dir, 'blobs', name), { recursive: true })
  }
  gate.open()
  const { id } = (await accepted.json()) as { id: string }
  const answer = await fetch(`${server.url}/v1/tasks/${id}/result`, { headers: { Prefer: 'wait=20' } })
  assert.equal(answer.status, 502)
  const problem = (await answer.json()) as { code: string; state: string }
  assert.deepEqual([problem.code, problem.state, target.calls], ['BLOB_MISSING', 'dead', 0])
  const { total } = (await (await fetch(`${server.url}/v1/admin/dead`)).json()) as { total: number }
  assert.equal(total, 1)
})

test('a process without a place for blobs gives up what names one, and says what to mend', async (t) => {
  const target = await httpTarget(t, echo)
  const dir = folder(t)
  const queues = { echo: { target: target.url } }
  let blobs: FaultyBlobs | null = null
  const wrap = (place: Parameters<typeof faultyBlobs>[0]) => {
    blobs = faultyBlobs(place)
    return blobs
  }
  const first = await startBlobServer(t, { dir, given: { queues }, wrap })
  gateOf(blobs!)
  const accepted = await post(first, randomBytes(2 * MIB))
  assert.equal(accepted.status, 202)
  await first.stop()
  const second = await startBlobServer(t, { dir, given: { queues, blobs: { place: 'none' } } })
  const { id } = (await accepted.json()) as { id: string }
  const answer = await fetch(`${second.url}/v1/tasks/${id}/result`, { headers: { Prefer: 'wait=20' } })
  const problem = (await answer.json()) as { code: string; state: string; detail: string }
  assert.deepEqual([problem.code, problem.state], ['BLOB_MISSING', 'dead'])
  assert.match(problem.detail, /set `blobs\.place`/)
})

test('a large answer waits for its place; the worker is asked once', async (t) => {
  const { server, blobs, target } = await rig(t)
  blobs.down = true
  const { id } = (await (await post(server, Buffer.from('small, grow'))).json()) as { id: string }
  while (blobs.refused < 3) await systemClock.sleep(10)
  blobs.down = false
  const answer = await fetch(`${server.url}/v1/tasks/${id}/result`, { headers: { Prefer: 'wait=20' } })
  assert.deepEqual([answer.status, (await answer.arrayBuffer()).byteLength, target.calls], [200, 3 * MIB, 1])
})

test('who waits for an answer that cannot be fetched is told that the task is kept; who reads it, to ask again', async (t) => {
  const { server, blobs } = await rig(t)
  const done = await post(server, Buffer.from('grow'), { Prefer: 'wait=10', 'Idempotency-Key': 'one' })
  assert.equal((await done.arrayBuffer()).byteLength, 3 * MIB)
  blobs.down = true
  const path = done.headers.get('location')!
  const waiting = await post(server, Buffer.from('grow'), { Prefer: 'wait=10', 'Idempotency-Key': 'one' })
  assert.deepEqual([waiting.status, waiting.headers.get('location')], [202, path])
  const read = await fetch(`${server.url}${path}/result`)
  assert.equal(read.status, 503)
  assert.equal(((await read.json()) as { code: string }).code, 'BLOB_UNAVAILABLE')
  const task = await fetch(`${server.url}${path}`)
  assert.equal(((await task.json()) as { state: string }).state, 'succeeded', 'how it stands needs no answer')
  blobs.down = false
  assert.equal((await (await fetch(`${server.url}${path}/result`)).arrayBuffer()).byteLength, 3 * MIB)
})

test('an answer that is gone is missing within its time, and gone as all others are after it', async (t) => {
  const clock = clockAhead()
  const { server, dir } = await rig(t, {}, { retention: '1h' }, clock)
  const done = await post(server, Buffer.from('grow'), { Prefer: 'wait=10' })
  await done.arrayBuffer()
  for (const name of readdirSync(join(dir, 'blobs'))) {
    if (name.endsWith('Z')) rmSync(join(dir, 'blobs', name), { recursive: true })
  }
  const result = () => fetch(`${server.url}${done.headers.get('location')}/result`)
  const missing = await result()
  assert.deepEqual([missing.status, ((await missing.json()) as { code: string }).code], [502, 'BLOB_MISSING'])
  clock.aheadMs = 2 * 60 * 60 * 1000
  assert.equal((await result()).status, 410)
})

test('a body is asked to stay until its deadline, however far away that is', async (t) => {
  const { server, blobs } = await rig(t, { deadline: '5h' })
  const hourMs = 60 * 60 * 1000
  assert.equal((await post(server, randomBytes(MIB))).status, 202)
  assert.equal((await post(server, randomBytes(MIB), { 'Forebay-Deadline': '20h' })).status, 202)
  assert.ok(blobs.askedMs.includes(6 * hourMs))
  assert.ok(blobs.askedMs.includes(21 * hourMs))
})

test('a crash between the body and its record leaves only bytes that nobody names, and the sweep takes them', async (t) => {
  const dir = folder(t)
  const script = fileURLToPath(new URL('./support/crash-after-put.ts', import.meta.url))
  const child = spawn(process.execPath, [script, dir], { stdio: ['ignore', 'inherit', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  const [, signal] = await once(child, 'exit')
  assert.equal(signal, 'SIGKILL')
  assert.equal(filesIn(join(dir, 'blobs')), 1, 'the body was put')
  const target = await httpTarget(t, echo)
  const server = await startBlobServer(t, { dir, given: { queues: { echo: { target: target.url } } } })
  assert.equal((await post(server, Buffer.from('after'), { Prefer: 'wait=10' })).status, 200)
  assert.equal(target.calls, 1, 'the record was not')
  const clock = clockAhead()
  const blobs = createBlobs(server.options, { clock, random: systemRandom })!
  await blobs.open()
  await blobs.sweep()
  assert.equal(filesIn(join(dir, 'blobs')), 1, 'within its time it stays: its record may be on its way')
  clock.aheadMs = 60 * 60 * 60 * 1000
  await blobs.sweep()
  assert.equal(filesIn(join(dir, 'blobs')), 0)
  await blobs.close()
})

async function rig(t: TestContext, queue: object = {}, other: object = {}, clock = clockAhead()) {
  const target = await httpTarget(t, (body, response) => {
    echo(body.toString().endsWith('grow') ? Buffer.alloc(3 * MIB, 'g') : body, response)
  })
  const dir = folder(t)
  let blobs: FaultyBlobs | null = null
  const given = { ...other, queues: { echo: { target: target.url, ...queue } } }
  const server = await startBlobServer(t, {
    dir,
    given,
    clock,
    wrap: (place) => {
      blobs = faultyBlobs(place)
      return blobs
    },
  })
  return { server, dir, target, blobs: blobs! as FaultyBlobs }
}

function post(server: BlobServer, body: Buffer, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${server.url}/v1/queues/echo/tasks`, { method: 'POST', body, headers })
}

/** Lets puts pass and holds gets back: the doors take what no attempt can have yet. */
function gateOf(blobs: FaultyBlobs): { open(): void } {
  const { put } = blobs
  const real = put.bind(blobs)
  blobs.down = true
  blobs.put = async (bytes, atLeastMs) => {
    blobs.down = false
    const putting = real(bytes, atLeastMs)
    blobs.down = true
    return putting
  }
  return {
    open() {
      blobs.put = put
      blobs.down = false
    },
  }
}

function filesIn(dir: string): number {
  return readdirSync(dir, { withFileTypes: true, recursive: true }).filter((entry) => entry.isFile()).length
}
