import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createClient, RequestError } from '../src/client/client.ts'
import { HttpGateway, hangUp, problem, type Reply } from './http-gateway.ts'
import { HurriedClock } from './hurried-clock.ts'

const cancelled: Reply = (_asked, response) => {
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(
    JSON.stringify({
      id: 'a/b',
      queue: 'q',
      state: 'cancelled',
      attempts: 1,
      generation: 2,
      acceptedAt: '2026-01-01T00:00:00.000Z',
      finishedAt: '2026-01-01T00:00:01.000Z',
      problem: { code: 'TASK_CANCELLED', detail: 'It was cancelled before it was done.' },
      links: {},
    }),
  )
}

test('cancel asks until it knows, and tells how the task stands', async () => {
  await using gateway = await HttpGateway.start(
    hangUp,
    problem('OUTCOME_UNKNOWN', { task: 'a/b' }),
    problem('STORE_BEHIND'),
    cancelled,
  )
  const task = createClient({ url: gateway.url, key: 'sk-1', clock: new HurriedClock() }).task('a/b')
  const status = await task.cancel()
  assert.deepEqual([status.id, status.state, status.attempts, status.generation], ['a/b', 'cancelled', 1, 2])
  assert.equal(status.problem?.code, 'TASK_CANCELLED')
  const asked = gateway.asked.map(({ method, path, headers, body }) => [
    method,
    path,
    headers.authorization,
    body.length,
  ])
  assert.deepEqual(asked, Array(4).fill(['DELETE', '/v1/tasks/a%2Fb', 'Bearer sk-1', 0]))
})

test('a task that has ended otherwise, or is not there, is not asked for again', async () => {
  for (const [code, members] of [
    ['TASK_ENDED', { state: 'failed', task: 't' }],
    ['TASK_NOT_FOUND', {}],
  ] as const) {
    await using gateway = await HttpGateway.start(problem(code, members))
    const task = createClient({ url: gateway.url, clock: new HurriedClock() }).task('t')
    const error = await task.cancel().catch((thrown: unknown) => thrown)
    assert.ok(error instanceof RequestError)
    assert.deepEqual([error.code, error.isRetryable, gateway.asked.length], [code, false, 1])
    assert.equal(error.problem.state, 'state' in members ? members.state : undefined)
  }
})
