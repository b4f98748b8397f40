import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createClient, ResultTimeoutError, TaskFailedError } from '../src/client/client.ts'
import { accepted, HttpGateway, hangUp, problem, type Reply, result, silence } from './http-gateway.ts'
import { HurriedClock } from './hurried-clock.ts'

test('a result is what the worker answered, as bytes, text and JSON', async () => {
  await using gateway = await HttpGateway.start(result('{"n":1}', 'application/json'))
  const answer = await createClient({ url: gateway.url }).task<{ n: number }>('task-1').result()
  assert.equal(answer.id, 'task-1')
  assert.equal(answer.contentType, 'application/json')
  assert.equal(Buffer.from(answer.bytes()).toString(), '{"n":1}')
  assert.equal(answer.text(), '{"n":1}')
  assert.equal(answer.json().n, 1)
  assert.equal(gateway.asked[0]?.path, '/v1/tasks/task-1/result')
})

test('waiting asks again after each wait of the gateway, for no longer than is left', async () => {
  const waited: Reply = async (asked, response) => {
    await new Promise((resolve) => setTimeout(resolve, 850))
    return notReady(asked, response)
  }
  await using gateway = await HttpGateway.start(waited, result('done', 'text/plain'))
  const answer = await createClient({ url: gateway.url }).task('t').result({ within: '10s' })
  assert.equal(answer.text(), 'done')
  assert.equal(gateway.asked[0]?.headers.prefer, 'wait=10')
  const [, left] = /^wait=(\d.*)$/.exec(String(gateway.asked[1]?.headers.prefer)) ?? []
  assert.ok(Number(left) > 5 && Number(left) <= 9.2, `waited ${left}`)
})

test('a gateway that cannot wait is not asked in a hot loop', async () => {
  await using gateway = await HttpGateway.start(notReady, notReady, result('done', 'text/plain'))
  const clock = new HurriedClock()
  await createClient({ url: gateway.url, clock }).task('t').result({ within: '10s' })
  assert.equal(clock.slept.length, 2)
  assert.ok(clock.slept.every((ms) => ms >= 1_000))
})

test('when the time is over the error names the task, which goes on', async () => {
  await using gateway = await HttpGateway.start(silence)
  const forebay = createClient({ url: gateway.url })
  const error = await forebay
    .task('t')
    .result({ within: 40 })
    .catch((thrown: unknown) => thrown)
  assert.ok(error instanceof ResultTimeoutError)
  assert.equal(error.id, 't')
  assert.equal(error.withinMs, 40)
  assert.equal(error.name, 'TimeoutError')
  assert.equal(error.isRetryable, true)
})

test('within 0 asks once', async () => {
  await using gateway = await HttpGateway.start(notReady, result('done', 'text/plain'))
  const task = createClient({ url: gateway.url }).task('t')
  await assert.rejects(task.result({ within: 0 }), ResultTimeoutError)
  assert.equal((await task.result({ within: 0 })).text(), 'done')
  assert.deepEqual(
    gateway.asked.map(({ headers }) => headers.prefer),
    ['wait=0', 'wait=0'],
  )
})

test('a gateway that is lost while waiting costs time, not the result', async () => {
  await using gateway = await HttpGateway.start(
    hangUp,
    problem('STORE_BEHIND'),
    problem('STOPPING'),
    result('done', 'text/plain'),
  )
  const clock = new HurriedClock()
  const answer = await createClient({ url: gateway.url, clock }).task('t').result({ within: '10s' })
  assert.equal(answer.text(), 'done')
})

test('a task that ended badly throws its state, code, detail and attempts', async () => {
  for (const state of ['failed', 'dead', 'cancelled', 'expired'] as const) {
    await using gateway = await HttpGateway.start(problem('WORKER_FAILED', { task: 't', state, attempts: 5 }))
    const error = await createClient({ url: gateway.url })
      .task('t')
      .result()
      .catch((thrown: unknown) => thrown)
    assert.ok(error instanceof TaskFailedError)
    const { id, code, detail, attempts, isRetryable } = error
    assert.deepEqual(
      { id, state: error.state, code, detail, attempts, isRetryable },
      { id: 't', state, code: 'WORKER_FAILED', detail: 'It is WORKER_FAILED.', attempts: 5, isRetryable: true },
    )
    assert.equal(gateway.asked.length, 1)
  }
})

test('a task that cannot be asked for is a refusal, not an end', async () => {
  for (const code of ['TASK_NOT_FOUND', 'TASK_GONE', 'UNAUTHENTICATED'] as const) {
    await using gateway = await HttpGateway.start(problem(code))
    await assert.rejects(createClient({ url: gateway.url }).task('t').result(), { name: 'RequestError', code })
    assert.equal(gateway.asked.length, 1)
  }
})

test('a signal ends the wait with its reason', async () => {
  await using gateway = await HttpGateway.start((asked, response) => {
    stop.abort(new Error('enough'))
    return silence(asked, response)
  })
  const stop = new AbortController()
  await assert.rejects(createClient({ url: gateway.url }).task('t').result({ signal: stop.signal }), {
    message: 'enough',
  })
})

test('call gets its answer in one request', async () => {
  await using gateway = await HttpGateway.start(result('HI', 'text/plain', 'abc'))
  const answer = await createClient({ url: gateway.url }).call('q', 'hi', { within: '5s', key: 'k' })
  assert.equal(answer.text(), 'HI')
  assert.equal(answer.id, 'abc')
  assert.equal(gateway.asked.length, 1)
  assert.equal(gateway.asked[0]?.headers.prefer, 'wait=5')
  assert.equal(gateway.asked[0]?.headers['forebay-key'], 'k')
})

test('call goes on waiting when the gateway kept the task but has no result yet', async () => {
  await using gateway = await HttpGateway.start(accepted('abc'), result('HI', 'text/plain', 'abc'))
  const answer = await createClient({ url: gateway.url }).call('q', 'hi', { within: '5s' })
  assert.equal(answer.text(), 'HI')
  assert.equal(gateway.asked[1]?.path, '/v1/tasks/abc/result')
})

test('call throws how the task ended, without asking for it again', async () => {
  await using gateway = await HttpGateway.start(problem('WORKER_LOST', { task: 'abc', state: 'dead', attempts: 3 }))
  const error = await createClient({ url: gateway.url })
    .call('q', 'hi')
    .catch((thrown: unknown) => thrown)
  assert.ok(error instanceof TaskFailedError)
  assert.equal(error.id, 'abc')
  assert.equal(gateway.asked.length, 1)
})

test('call is over when its time is, with the time that was given', async () => {
  await using gateway = await HttpGateway.start(accepted('abc'), silence)
  const error = await createClient({ url: gateway.url })
    .call('q', 'hi', { within: '50ms' })
    .catch((thrown: unknown) => thrown)
  assert.ok(error instanceof ResultTimeoutError)
  assert.equal(error.id, 'abc')
  assert.equal(error.withinMs, 50)
})

test('state and status tell how a task stands', async () => {
  const body = {
    id: 't',
    queue: 'q',
    state: 'dead',
    attempts: 2,
    acceptedAt: '2026-01-01T00:00:00.000Z',
    finishedAt: '2026-01-01T00:00:01.000Z',
    problem: { code: 'WORKER_FAILED', detail: 'no luck' },
    links: {},
  }
  await using gateway = await HttpGateway.start(problem('STOPPING'), (_asked, response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(body))
  })
  const task = createClient({ url: gateway.url, clock: new HurriedClock() }).task('t')
  assert.equal(await task.state(), 'dead')
  const { acceptedAt, finishedAt, problem: why, ...status } = await task.status()
  assert.deepEqual(status, { id: 't', queue: 'q', state: 'dead', attempts: 2, generation: 0 })
  assert.equal(Number(finishedAt) - Number(acceptedAt), 1_000)
  assert.deepEqual(why, body.problem)
})

test('a map of queues types what goes in and what comes out', async () => {
  interface Queues {
    sums: { input: number[]; output: { total: number } }
    thumbnails: { input: Uint8Array; output: never }
  }
  await using gateway = await HttpGateway.start(result('{"total":3}', 'application/json'))
  const forebay = createClient<Queues>({ url: gateway.url })
  const { total } = (await forebay.call('sums', [1, 2])).json()
  assert.equal(total satisfies number, 3)
  // @ts-expect-error text is no input of this queue
  await forebay.call('sums', '1 2')
  // @ts-expect-error there is no such queue
  await forebay.call('sum', [1, 2])
})

const notReady: Reply = problem('RESULT_NOT_READY', { state: 'running' }, { 'retry-after': '1' })
