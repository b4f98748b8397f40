import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { systemClock, systemRandom } from '@forebay/broker'
import { createBlobs } from '../src/blobs/create-blobs.ts'
import { type BlobServer, echo, folder, httpTarget, MIB, startBlobServer } from './support/blob-server.ts'
import { clockAhead } from './support/clock-ahead.ts'
import { type FaultyBlobs, faultyBlobs } from './support/faulty-blobs.ts'

const YEAR_MS = 365 * 24 * 60 * 60 * 1000

test('a letter keeps its large body beyond every sweep; redriven, the same bytes run, and then they may go', async (t) => {
  const { server, dir, state } = await rig(t)
  const body = randomBytes(2 * MIB)
  const id = await dies(server, body)
  const letter = (await letters(server))[0]!
  assert.equal(letter.task, id)
  await sweptIn(YEAR_MS, server)
  assert.equal(filesIn(join(dir, 'blobs')), 1, 'only the pin is left')
  const shown = (await (await fetch(`${server.url}/v1/admin/dead/${letter.letter}`)).json()) as Shown
  const named = shown.headers.find(({ name }) => name === 'fb-blob')!
  assert.match(named.value, /^sha256:[0-9a-f]{64}:2097152$/)
  state.failing = false
  assert.deepEqual(await run(server, 'redrive', [letter.letter]), { done: true, redriven: 1, already: 0, refused: {} })
  const answer = await succeeds(server, id)
  assert.equal(Buffer.compare(Buffer.from(await answer.arrayBuffer()), body), 0)
  await sweptIn(YEAR_MS, server)
  assert.equal(filesIn(join(dir, 'blobs')), 0)
})

test('two letters with the same body keep it until both are closed; a discard closes as well', async (t) => {
  const { server, dir } = await rig(t)
  const body = randomBytes(2 * MIB)
  await dies(server, body)
  await dies(server, body)
  const [one, other] = await letters(server)
  assert.equal(((await run(server, 'discard', [one!.letter])) as { discarded: number }).discarded, 1)
  await sweptIn(YEAR_MS, server)
  assert.equal(filesIn(join(dir, 'blobs')), 1)
  await run(server, 'discard', [other!.letter])
  await sweptIn(YEAR_MS, server)
  assert.equal(filesIn(join(dir, 'blobs')), 0)
})

test('a letter is not published before its body is pinned', async (t) => {
  const { server, blobs, state } = await rig(t)
  state.onCall = () => {
    blobs.down = true
  }
  const accepted = await post(server, randomBytes(2 * MIB))
  const { id } = (await accepted.json()) as { id: string }
  while (blobs.refused < 2) await systemClock.sleep(10)
  assert.equal((await letters(server)).length, 0)
  state.onCall = () => {}
  blobs.down = false
  await fetch(`${server.url}/v1/tasks/${id}/result`, { headers: { Prefer: 'wait=20' } })
  assert.equal((await letters(server)).length, 1)
})

test('a letter whose body is gone is not redriven but with another body, which then runs', async (t) => {
  const { server, blobs, state } = await rig(t)
  const id = await dies(server, randomBytes(2 * MIB))
  const letter = (await letters(server))[0]!
  const shown = (await (await fetch(`${server.url}/v1/admin/dead/${letter.letter}`)).json()) as Shown
  const [, sha256, bytes] = shown.headers.find(({ name }) => name === 'fb-blob')!.value.split(':')
  await blobs.unpin({ sha256: sha256!, bytes: Number(bytes) }, shown.origin)
  await sweptIn(YEAR_MS, server)
  state.failing = false
  const refused = { done: true, redriven: 0, already: 0, refused: { blob: 1 } }
  assert.deepEqual(await run(server, 'redrive', [letter.letter]), refused)
  const edited = await fetch(`${server.url}/v1/admin/dead/${letter.letter}/redrive`, {
    method: 'POST',
    body: 'another body',
    headers: { 'Content-Type': 'text/plain' },
  })
  assert.equal(edited.status, 200)
  assert.equal(await (await succeeds(server, id)).text(), 'another body')
})

test('a redrive while large bodies cannot be reached leaves every letter open', async (t) => {
  const { server, blobs } = await rig(t)
  await dies(server, randomBytes(2 * MIB))
  const [letter] = await letters(server)
  blobs.down = true
  const last = (await run(server, 'redrive', [letter!.letter])) as { done?: boolean }
  assert.notEqual(last.done, true)
  assert.match(JSON.stringify(last), /BLOB_UNAVAILABLE/)
  blobs.down = false
  assert.equal((await letters(server)).length, 1)
})

interface Shown {
  readonly origin: string
  readonly headers: readonly { readonly name: string; readonly value: string }[]
}

async function rig(t: TestContext) {
  const state = { failing: true, onCall: () => {} }
  const target = await httpTarget(t, (body, response) => {
    state.onCall()
    if (state.failing) response.writeHead(503).end('not now')
    else echo(body, response)
  })
  const dir = folder(t)
  let blobs: FaultyBlobs | null = null
  const server = await startBlobServer(t, {
    dir,
    given: { queues: { echo: { target: target.url, retry: { attempts: 1 } } } },
    wrap: (place) => {
      blobs = faultyBlobs(place)
      return blobs
    },
  })
  return { server, dir, state, blobs: blobs! as FaultyBlobs }
}

function post(server: BlobServer, body: Buffer): Promise<Response> {
  return fetch(`${server.url}/v1/queues/echo/tasks`, { method: 'POST', body })
}

/** Resolves with the task's id when it is dead. */
async function dies(server: BlobServer, body: Buffer): Promise<string> {
  const { id } = (await (await post(server, body)).json()) as { id: string }
  const ended = await fetch(`${server.url}/v1/tasks/${id}/result`, { headers: { Prefer: 'wait=20' } })
  assert.equal(((await ended.json()) as { state: string }).state, 'dead')
  return id
}

/** A redriven task reads as dead until its gateway has heard of its new life. */
async function succeeds(server: BlobServer, id: string): Promise<Response> {
  for (let tries = 0; tries < 200; tries++) {
    const answer = await fetch(`${server.url}/v1/tasks/${id}/result`, { headers: { Prefer: 'wait=20' } })
    if (answer.status === 200) return answer
    await answer.arrayBuffer()
    await systemClock.sleep(50)
  }
  throw new Error(`${id} has not succeeded`)
}

async function letters(server: BlobServer) {
  const found = await (await fetch(`${server.url}/v1/admin/dead`)).json()
  return (found as { letters: { letter: string; task: string }[] }).letters
}

/** The last line of what the run tells. */
async function run(server: BlobServer, what: 'redrive' | 'discard', names: readonly string[]): Promise<unknown> {
  const answer = await fetch(`${server.url}/v1/admin/dead/${what}`, {
    method: 'POST',
    body: JSON.stringify({ letters: names, reason: 'test' }),
    headers: { 'Content-Type': 'application/json' },
  })
  return JSON.parse((await answer.text()).trim().split('\n').at(-1)!)
}

async function sweptIn(aheadMs: number, server: BlobServer): Promise<void> {
  const clock = clockAhead()
  clock.aheadMs = aheadMs
  const blobs = createBlobs(server.options, { clock, random: systemRandom })!
  await blobs.open()
  await blobs.sweep()
  await blobs.close()
}

function filesIn(dir: string): number {
  return readdirSync(dir, { withFileTypes: true, recursive: true }).filter((entry) => entry.isFile()).length
}
