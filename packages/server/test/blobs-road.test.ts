import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { echo, folder, httpTarget, MIB, startBlobServer } from './support/blob-server.ts'

test('5 MiB in, 5 MiB out, byte for byte, by a wait, by the id and on another connection', async (t) => {
  const target = await httpTarget(t, echo)
  const { url } = await startBlobServer(t, { dir: folder(t), given: { queues: { echo: { target: target.url } } } })
  const body = randomBytes(5 * MIB)
  const waited = await fetch(`${url}/v1/queues/echo/tasks`, { method: 'POST', body, headers: { Prefer: 'wait=20' } })
  assert.equal(waited.status, 200)
  assert.equal(waited.headers.get('content-type'), 'application/x-large')
  assert.equal(Buffer.compare(Buffer.from(await waited.arrayBuffer()), body), 0)
  const later = await fetch(`${url}${waited.headers.get('location')}/result`)
  assert.equal(later.headers.get('content-length'), String(body.length))
  assert.equal(Buffer.compare(Buffer.from(await later.arrayBuffer()), body), 0)
  const head = await fetch(`${url}${waited.headers.get('location')}/result`, { method: 'HEAD' })
  assert.deepEqual([head.status, head.headers.get('content-length')], [200, String(body.length)])
  assert.equal(target.calls, 1)
})

test('many large and small bodies in parallel keep to their own tasks', async (t) => {
  const target = await httpTarget(t, echo)
  const dir = folder(t)
  const { url } = await startBlobServer(t, { dir, given: { queues: { echo: { target: target.url } } } })
  const bodies = Array.from({ length: 36 }, (_, index) =>
    Buffer.alloc(index % 3 === 0 ? 2_000 : 2 * MIB + index, index),
  )
  const answers = await Promise.all(
    bodies.map(async (body) => {
      const answer = await fetch(`${url}/v1/queues/echo/tasks`, {
        method: 'POST',
        body,
        headers: { Prefer: 'wait=30' },
      })
      assert.equal(answer.status, 200)
      return Buffer.from(await answer.arrayBuffer())
    }),
  )
  for (const [index, answer] of answers.entries()) assert.equal(Buffer.compare(answer, bodies[index]!), 0)
  const large = bodies.filter((body) => body.length > MIB).length
  assert.equal(filesIn(join(dir, 'blobs')), large, 'each large body lies there once: the echo is the same bytes')
})

test('what is small stays in its record, and the folder stays empty', async (t) => {
  const target = await httpTarget(t, echo)
  const dir = folder(t)
  const { url } = await startBlobServer(t, { dir, given: { queues: { echo: { target: target.url } } } })
  const body = randomBytes(512 * 1024)
  const answer = await fetch(`${url}/v1/queues/echo/tasks`, { method: 'POST', body, headers: { Prefer: 'wait=20' } })
  assert.equal(Buffer.compare(Buffer.from(await answer.arrayBuffer()), body), 0)
  assert.equal(filesIn(join(dir, 'blobs')), 0)
})

test('an answer may be large where the body was small, and an answer beyond the largest ends the task', async (t) => {
  const target = await httpTarget(t, (body, response) => echo(Buffer.alloc(Number(body.toString()), 'x'), response))
  const given = { blobs: { resultMax: '3MiB' }, queues: { grow: { target: target.url, retry: { attempts: 1 } } } }
  const { url } = await startBlobServer(t, { dir: folder(t), given })
  const ask = async (bytes: number) =>
    fetch(`${url}/v1/queues/grow/tasks`, { method: 'POST', body: String(bytes), headers: { Prefer: 'wait=20' } })
  const fits = await ask(3 * MIB)
  assert.deepEqual([fits.status, (await fits.arrayBuffer()).byteLength], [200, 3 * MIB])
  const tooLarge = await ask(3 * MIB + 1)
  assert.equal(tooLarge.status, 502)
  assert.equal(((await tooLarge.json()) as { code: string }).code, 'RESULT_TOO_LARGE')
})

test('without a place, a body that the log does not take is refused before anything is kept', async (t) => {
  const target = await httpTarget(t, echo)
  const given = { blobs: { place: 'none' }, queues: { echo: { target: target.url } } }
  const { url } = await startBlobServer(t, { dir: folder(t), given })
  const answer = await fetch(`${url}/v1/queues/echo/tasks`, { method: 'POST', body: randomBytes(2 * MIB) })
  assert.equal(answer.status, 413)
  assert.equal(target.calls, 0)
})

test('a large body counts for its idempotency key like any other', async (t) => {
  const target = await httpTarget(t, echo)
  const { url } = await startBlobServer(t, { dir: folder(t), given: { queues: { echo: { target: target.url } } } })
  const headers = { Prefer: 'wait=20', 'Idempotency-Key': 'once' }
  const body = randomBytes(2 * MIB)
  const post = async (bytes: Buffer) => fetch(`${url}/v1/queues/echo/tasks`, { method: 'POST', body: bytes, headers })
  const [first, again] = [await post(body), await post(body)]
  assert.equal(first.headers.get('forebay-task'), again.headers.get('forebay-task'))
  assert.equal(Buffer.compare(Buffer.from(await again.arrayBuffer()), body), 0)
  assert.equal((await post(Buffer.concat([body, Buffer.from('.')]))).status, 422)
  await first.arrayBuffer()
  assert.equal(target.calls, 1)
})

test('results outlive a restart of the server', async (t) => {
  const target = await httpTarget(t, echo)
  const dir = folder(t)
  const given = { queues: { echo: { target: target.url } } }
  const first = await startBlobServer(t, { dir, given })
  const body = randomBytes(3 * MIB)
  const done = await fetch(`${first.url}/v1/queues/echo/tasks`, {
    method: 'POST',
    body,
    headers: { Prefer: 'wait=20' },
  })
  assert.equal(done.status, 200)
  await done.arrayBuffer()
  await first.stop()
  const second = await startBlobServer(t, { dir, given })
  const answer = await fetch(`${second.url}${done.headers.get('location')}/result`)
  assert.equal(Buffer.compare(Buffer.from(await answer.arrayBuffer()), body), 0)
})

function filesIn(dir: string): number {
  return readdirSync(dir, { withFileTypes: true, recursive: true }).filter((entry) => entry.isFile()).length
}
