import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type GeneratedNginx, startGeneratedNginx } from '../../scripts/rig/nginx.ts'
import { freePort } from '../../scripts/rig/process.ts'
import { type Answer, type ScriptedGateways, scriptedGateways } from './scripted-gateway.ts'

const UNKNOWN = { status: 503, body: '{"code":"OUTCOME_UNKNOWN"}' }
const KEY = { 'idempotency-key': 'a-key' }
const SUBMIT = '/v1/queues/orders/tasks'

let gateways: ScriptedGateways
let nginx: GeneratedNginx
before(async () => {
  gateways = await scriptedGateways(3)
  nginx = await startGeneratedNginx(pairs(gateways.addresses))
})
after(async () => {
  await nginx.stop()
  await gateways[Symbol.asyncDispose]()
})

interface Case {
  readonly says: string
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly answers: readonly Answer[]
  /** What the caller hears, and how often a gateway was asked. */
  readonly status: number
  readonly code?: string
  readonly asked: number
}

const CASES: readonly Case[] = [
  {
    says: 'a submission without a key is never sent twice',
    method: 'POST',
    path: SUBMIT,
    answers: ['lost'],
    status: 503,
    code: 'OUTCOME_UNKNOWN',
    asked: 1,
  },
  {
    says: 'nor is a PUT, which nginx takes for idempotent',
    method: 'PUT',
    path: '/orders/ann',
    answers: ['lost'],
    status: 503,
    code: 'OUTCOME_UNKNOWN',
    asked: 1,
  },
  {
    says: 'a blank in the path does not pass for a key',
    method: 'POST',
    path: '/orders/ann%20b',
    answers: ['lost'],
    status: 503,
    code: 'OUTCOME_UNKNOWN',
    asked: 1,
  },
  {
    says: 'with a key it is sent to another gateway',
    method: 'POST',
    path: SUBMIT,
    headers: KEY,
    answers: ['lost', { status: 202 }],
    status: 202,
    asked: 2,
  },
  {
    says: 'so is a PUT with a key',
    method: 'PUT',
    path: '/orders/ann',
    headers: KEY,
    answers: ['lost', 'lost', { status: 202 }],
    status: 202,
    asked: 3,
  },
  {
    says: 'a 503 of a submission with a key is asked again elsewhere',
    method: 'POST',
    path: SUBMIT,
    headers: KEY,
    answers: [UNKNOWN, { status: 202 }],
    status: 202,
    asked: 2,
  },
  {
    says: 'without a key the 503 goes to the caller as it is',
    method: 'POST',
    path: SUBMIT,
    answers: [UNKNOWN],
    status: 503,
    code: 'OUTCOME_UNKNOWN',
    asked: 1,
  },
  {
    says: 'where a key means nothing a request is never sent twice',
    method: 'POST',
    path: '/v1/admin/dead/redrive',
    headers: KEY,
    answers: ['lost'],
    status: 503,
    code: 'OUTCOME_UNKNOWN',
    asked: 1,
  },
  {
    says: 'however its path is written',
    method: 'POST',
    path: '/v1/%61dmin/dead/redrive',
    headers: KEY,
    answers: ['lost'],
    status: 503,
    code: 'OUTCOME_UNKNOWN',
    asked: 1,
  },
  {
    says: 'reading is asked again elsewhere',
    method: 'GET',
    path: '/v1/tasks/x',
    answers: ['lost', { status: 503 }, { status: 200 }],
    status: 200,
    asked: 3,
  },
  {
    says: 'when the last gateway says 503 too, the caller hears that one',
    method: 'GET',
    path: '/v1/tasks/x',
    answers: [{ status: 503 }, { status: 503 }, { status: 503, body: '{"code":"STORE_BEHIND"}' }],
    status: 503,
    code: 'STORE_BEHIND',
    asked: 3,
  },
  {
    says: 'so is cancelling',
    method: 'DELETE',
    path: '/v1/tasks/x',
    answers: ['lost', { status: 200 }],
    status: 200,
    asked: 2,
  },
  {
    says: 'so is an event stream before its first byte',
    method: 'GET',
    path: '/v1/tasks/x/events',
    answers: ['lost', { status: 200 }],
    status: 200,
    asked: 2,
  },
  {
    says: 'how a task ended is no fault of a gateway',
    method: 'GET',
    path: '/v1/tasks/x/result',
    answers: [{ status: 502, body: '{"code":"WORKER_FAILED"}' }],
    status: 502,
    code: 'WORKER_FAILED',
    asked: 1,
  },
  {
    says: 'nor is a timeout of its last attempt',
    method: 'POST',
    path: SUBMIT,
    headers: KEY,
    answers: [{ status: 504, body: '{"code":"ATTEMPT_TIMED_OUT"}' }],
    status: 504,
    code: 'ATTEMPT_TIMED_OUT',
    asked: 1,
  },
]

for (const { says, method, path, headers = {}, answers, status, code, asked } of CASES) {
  test(`${method} ${path}: ${says}`, async () => {
    gateways.answers(...answers)
    const body = method === 'POST' || method === 'PUT' ? '{"a":1}' : null
    const answer = await fetch(nginx.url + path, { method, headers, body })
    const text = await answer.text()
    assert.equal(answer.status, status, text)
    if (code !== undefined) assert.equal((JSON.parse(text) as { code: string }).code, code)
    assert.equal(gateways.seen.length, asked)
    for (const { url, headers: sent } of gateways.seen) {
      assert.equal(url, path)
      assert.equal(sent['x-request-id'], answer.headers.get('x-request-id'))
    }
  })
}

test('where each gateway has a store of its own a key does not make a second sending safe', async () => {
  await using own = await startGeneratedNginx(pairs(gateways.addresses), { flags: ['--set', 'store=embedded'] })
  gateways.answers('lost')
  const answer = await fetch(own.url + SUBMIT, { method: 'POST', headers: KEY, body: '{}' })
  assert.equal(((await answer.json()) as { code: string }).code, 'OUTCOME_UNKNOWN')
  assert.equal(gateways.seen.length, 1)
})

test('where no gateway listens nothing was sent, and the problem says so', async () => {
  const dead = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`]
  await using alone = await startGeneratedNginx(pairs(dead))
  for (const method of ['GET', 'POST', 'PUT']) {
    const answer = await fetch(alone.url + SUBMIT, { method, body: method === 'GET' ? null : '{}' })
    assert.equal(answer.status, 503)
    assert.equal(answer.headers.get('content-type'), 'application/problem+json')
    assert.equal(answer.headers.get('retry-after'), '1')
    const problem = (await answer.json()) as Record<string, unknown>
    assert.deepEqual(problem, {
      type: 'urn:forebay:problem:not-accepted',
      title: 'Not accepted',
      detail: 'No gateway could be reached; nothing was kept. Ask again.',
      status: 503,
      retryable: true,
      code: 'NOT_ACCEPTED',
    })
  }
})

test('a gateway that is not there is never seen by those who hand in or read', async () => {
  const [alive] = gateways.addresses
  gateways.answers()
  await using half = await startGeneratedNginx(pairs([alive!, `127.0.0.1:${await freePort()}`]))
  for (let count = 0; count < 20; count++) {
    for (const method of ['GET', 'POST']) {
      const answer = await fetch(half.url + SUBMIT, { method, body: method === 'GET' ? null : '{}' })
      assert.equal(answer.status, 200)
      await answer.arrayBuffer()
    }
  }
})

function pairs(addresses: readonly string[]) {
  return addresses.map((http) => ({ http, grpc: http }))
}
