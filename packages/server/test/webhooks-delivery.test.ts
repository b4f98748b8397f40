import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { systemRandom } from '@forebay/broker'
import { Webhook } from 'standardwebhooks'
import { newWebhookSecret } from '../src/webhooks/signature.ts'
import { startRawReceiver, startReceiver } from './support/receiver.ts'
import { SkipClock } from './support/skip-clock.ts'
import { type CallbackJson, DORA, startWebhookServer } from './support/webhook-server.ts'

/** Receivers that listen on this machine are reached because the configuration allows it. */

test('whoever is named at submit is called once with the result, signed as the library of Standard Webhooks wants it', async (t) => {
  const receiver = await startReceiver(t)
  const server = await startWebhookServer(t, local(receiver.port))
  const task = await server.task(`http://127.0.0.1:${receiver.port}/done?who=carl`)
  const [call] = await receiver.until(1)
  const message = new Webhook(server.secret).verify(call!.body, call!.headers as Record<string, string>) as Message
  assert.deepEqual(call!.path, '/done?who=carl')
  assert.deepEqual(
    [call!.headers['content-type'], /^forebay\/\d/.test(call!.headers['user-agent']!)],
    ['application/json', true],
  )
  const shown = await server.ask('GET', `/v1/tasks/${task}`)
  assert.deepEqual(message, {
    type: 'task.succeeded',
    timestamp: shown.body.finishedAt,
    data: { ...shown.body, result: { contentType: 'application/json', text: '{"a":1}' } },
  })
  const kept = await server.until(task, 'delivered')
  assert.deepEqual([kept.id, kept.tries], [call!.headers['webhook-id'], 1])
  assert.deepEqual(
    kept.attempts.map(({ status, detail }) => [status, detail]),
    [[204, null]],
  )
  assert.equal(receiver.calls.length, 1)
})

test('a task that fails, one that is cancelled, bytes that are no text and a large result are told as they are', async (t) => {
  const receiver = await startReceiver(t)
  const server = await startWebhookServer(t, local(receiver.port))
  const callback = `http://127.0.0.1:${receiver.port}/`
  const sent = async (more: Parameters<typeof server.task>[1]) => {
    const task = await server.task(callback, more)
    if (more?.queue === 'idle') await server.ask('DELETE', `/v1/tasks/${task}`)
    await server.until(task, 'delivered')
    return JSON.parse(String(receiver.calls.at(-1)!.body)) as Message
  }
  const failed = await sent({ queue: 'refuse' })
  assert.deepEqual([failed.type, failed.data.problem?.code], ['task.failed', 'TARGET_REFUSED'])
  assert.ok(!('result' in failed.data))
  assert.equal((await sent({ queue: 'idle' })).type, 'task.cancelled')
  const bytes = await sent({ body: Buffer.from([0xff, 0x00]), headers: { 'content-type': 'application/x-b' } })
  assert.deepEqual(bytes.data.result, { contentType: 'application/x-b', base64: '/wA=' })
  const large = await sent({ body: Buffer.alloc(65_537, 'x'), headers: { 'content-type': 'text/plain' } })
  assert.deepEqual(large.data.result, {
    contentType: 'text/plain',
    bytes: 65_537,
    link: `/v1/tasks/${large.data.id}/result`,
  })
  const whole = await sent({ body: Buffer.alloc(65_536, 'x'), headers: { 'content-type': 'text/plain' } })
  assert.equal(whole.data.result?.text?.length, 65_536)
})

test('a callback that is added later is called too: when the task ends, or at once when it has ended', async (t) => {
  const receiver = await startReceiver(t)
  const server = await startWebhookServer(t, local(receiver.port))
  const url = `http://127.0.0.1:${receiver.port}/later`
  for (const queue of ['echo', 'idle']) {
    const task = await server.task(null, { queue })
    const added = await server.ask('POST', `/v1/tasks/${task}/callbacks`, { url })
    assert.deepEqual(
      [added.status, added.body.url, added.headers.get('location')],
      [201, url, `/v1/tasks/${task}/callbacks`],
    )
    const again = await server.ask('POST', `/v1/tasks/${task}/callbacks`, { url })
    assert.deepEqual([again.status, again.body.id], [201, added.body.id])
    if (queue === 'idle') await server.ask('DELETE', `/v1/tasks/${task}`)
    const { id } = await server.until(task, 'delivered')
    assert.equal(id, added.body.id)
  }
  assert.equal(receiver.calls.length, 2)
})

test('a task is called for five times at most, and its callbacks are nobody else’s business', async (t) => {
  const server = await startWebhookServer(t, local(80))
  const task = await server.task(null, { queue: 'idle' })
  const path = `/v1/tasks/${task}/callbacks`
  for (let index = 0; index < 5; index++) {
    assert.equal((await server.ask('POST', path, { url: `http://127.0.0.1/${index}` })).status, 201)
  }
  const sixth = await server.ask('POST', path, { url: 'http://127.0.0.1/6' })
  assert.deepEqual([sixth.status, sixth.body.code], [422, 'CALLBACK_REFUSED'])
  assert.match(sixth.body.detail, /5 callbacks/)
  for (const [method, body] of [
    ['GET', undefined],
    ['POST', { url: 'http://127.0.0.1/' }],
  ] as const) {
    const foreign = await server.ask(method, path, body, DORA)
    assert.deepEqual([foreign.status, foreign.body.code], [404, 'TASK_NOT_FOUND'])
    assert.equal((await server.ask(method, path, body, {})).status, 401)
  }
  for (const body of ['', '{', '[]', '{}', '{"url":1}', '{"url":"https://a.b","x":1}']) {
    assert.equal((await server.ask('POST', path, body)).status, 400, body)
  }
})

test('while secrets change each call carries both signatures, and a principal can have its own', async (t) => {
  const receiver = await startReceiver(t)
  const [next, old, own] = [0, 1, 2].map(() => newWebhookSecret(systemRandom)) as [string, string, string]
  const server = await startWebhookServer(t, {
    ...local(receiver.port),
    secrets: [next, old],
    principals: { dora: { secrets: [own] } },
  })
  const url = `http://127.0.0.1:${receiver.port}/`
  await server.task(url)
  const [first] = await receiver.until(1)
  assert.equal(first!.headers['webhook-signature']!.toString().split(' ').length, 2)
  for (const secret of [next, old]) new Webhook(secret).verify(first!.body, first!.headers as Record<string, string>)
  await server.task(url, { headers: DORA })
  const [, second] = await receiver.until(2)
  new Webhook(own).verify(second!.body, second!.headers as Record<string, string>)
  assert.throws(() => new Webhook(next).verify(second!.body, second!.headers as Record<string, string>))
})

test('a receiver that fails is called again under the same id, with the same body and a new time, until it is given up', async (t) => {
  const receiver = await startReceiver(t)
  receiver.answer = (response) => response.writeHead(500).end('sorry')
  const server = await startWebhookServer(t, { ...local(receiver.port), retries: ['30ms', '1100ms', '20ms'] })
  const task = await server.task(`http://127.0.0.1:${receiver.port}/`)
  const kept = await server.until(task, 'given-up')
  assert.equal(kept.tries, 4)
  assert.deepEqual(new Set(kept.attempts.map(({ detail }) => detail)), new Set(['The receiver answered 500.']))
  const headers = receiver.calls.map((call) => call.headers)
  assert.deepEqual(new Set(headers.map((one) => one['webhook-id'])), new Set([kept.id]))
  assert.equal(new Set(receiver.calls.map((call) => String(call.body))).size, 1)
  assert.ok(new Set(headers.map((one) => one['webhook-timestamp'])).size > 1)
  for (const call of receiver.calls)
    new Webhook(server.secret).verify(call.body, call.headers as Record<string, string>)
  assert.match(await server.metrics.registry.metrics(), /forebay_webhooks_total\{outcome="given-up"\} 1/)
})

test('every way in which a receiver can fail ends in another try, and the log says what happened', async (t) => {
  const inside = await startReceiver(t)
  const receiver = await startReceiver(t)
  const ways = [
    ['500', /answered 500/],
    ['302', /answered 302; redirects are not followed/],
    ['404', /answered 404/],
    ['reset', /cut off/],
    ['hang', /no answer within 300ms/],
  ] as const
  receiver.answer = (response, { path }) => {
    const way = path.slice(1)
    if (way === 'reset') response.socket!.resetAndDestroy()
    else if (way === '302') response.writeHead(302, { location: `http://127.0.0.1:${inside.port}/` }).end()
    else if (way !== 'hang') response.writeHead(Number(way)).end()
  }
  const raw = await startRawReceiver(t, (socket) => {
    const line = `HTTP/1.1 200 OK\r\nX-Long: ${'a'.repeat(1_000)}`
    let at = 0
    const timer = setInterval(() => socket.write(line[at++]!), 20)
    socket.on('close', () => clearInterval(timer))
  })
  const server = await startWebhookServer(t, {
    ...local(receiver.port, raw.port, 1),
    allow: ['127.0.0.1', 'nowhere.invalid'],
    timeout: '300ms',
    retries: ['10ms'],
  })
  const urls = [
    ...ways.map(([way, says]) => [`http://127.0.0.1:${receiver.port}/${way}`, says] as const),
    [`http://127.0.0.1:${raw.port}/`, /no answer within 300ms/],
    ['http://127.0.0.1:1/', /refused/],
    [`http://nowhere.invalid:${receiver.port}/`, /no such name|could not be looked up|no answer/],
    [`https://127.0.0.1:${receiver.port}/`, /call failed/],
  ] as const
  await Promise.all(
    urls.map(async ([url, says]) => {
      const kept = await server.until(await server.task(url), 'given-up')
      assert.equal(kept.attempts.length, 2, url)
      for (const { detail } of kept.attempts) assert.match(detail!, says)
    }),
  )
  assert.equal(inside.connections, 0)
})

test('a receiver that asks for more time gets it', async (t) => {
  const receiver = await startReceiver(t)
  const server = await startWebhookServer(t, { ...local(receiver.port), retries: ['1ms'] })
  for (const [status, retryAfter, waitMs] of [
    [429, '3600', 3_600_000],
    [503, new Date(Date.now() + 1_800_000).toUTCString(), 1_800_000],
    [503, '99999999', 3_600_000],
  ] as const) {
    receiver.answer = (response) => response.writeHead(status, { 'retry-after': retryAfter }).end()
    const task = await server.task(`http://127.0.0.1:${receiver.port}/`)
    let kept = await server.until(task, 'due')
    while (kept.attempts.length === 0) kept = await server.until(task, 'due')
    assert.ok(
      Math.abs(Date.parse(kept.nextAt!) - Date.now() - waitMs) < 20_000,
      `${status} ${retryAfter}: ${kept.nextAt}`,
    )
    assert.equal(kept.attempts[0]!.status, status)
  }
})

test('410 ends all calls of its owner to the URL, until an operator lifts that', async (t) => {
  const receiver = await startReceiver(t)
  receiver.answer = (response) => response.writeHead(410).end()
  const server = await startWebhookServer(t, local(receiver.port))
  const url = `http://127.0.0.1:${receiver.port}/gone`
  const task = await server.task(url)
  const kept = await server.until(task, 'disabled')
  assert.deepEqual([kept.tries, kept.attempts[0]!.status], [1, 410])
  const refused = await server.submit(url)
  assert.deepEqual([refused.status, ((await refused.json()) as { code: string }).code], [422, 'CALLBACK_REFUSED'])
  assert.equal((await server.submit(url, { headers: DORA })).status, 202, 'another owner is not concerned')
})

test('a dead receiver delays nobody', async (t) => {
  const dead = await startReceiver(t)
  const alive = await startReceiver(t)
  dead.answer = () => {}
  const server = await startWebhookServer(t, {
    ...local(dead.port, alive.port),
    concurrency: 8,
    perHost: 2,
    timeout: '5s',
  })
  for (let index = 0; index < 20; index++) await server.task(`http://127.0.0.1:${dead.port}/${index}`)
  await dead.until(2)
  const beganMs = Date.now()
  for (let index = 0; index < 20; index++) await server.task(`http://127.0.0.1:${alive.port}/${index}`)
  await alive.until(20)
  assert.ok(Date.now() - beganMs < 5_000)
  assert.equal(dead.calls.length, 2, 'two at once, and those hang')
  await server.stop(0)
})

test('what may not be called is refused at submit, and nothing is kept', async (t) => {
  const server = await startWebhookServer(t, {})
  for (const url of [
    'http://hooks.example.com/',
    'https://127.0.0.1/',
    'https://localhost/',
    'https://hooks.example.com:8443/',
  ]) {
    const refused = await server.submit(url, { headers: { 'idempotency-key': 'k' } })
    const problem = (await refused.json()) as { code: string }
    assert.deepEqual([refused.status, problem.code], [422, 'CALLBACK_REFUSED'], url)
  }
  const taken = await server.submit('https://hooks.example.com/', {
    queue: 'idle',
    headers: { 'idempotency-key': 'k' },
  })
  assert.equal(taken.status, 202, 'the key was left free')
})

test('the callback belongs to what an Idempotency-Key stands for', async (t) => {
  const server = await startWebhookServer(t, {})
  const submit = async (callback: string | null) => {
    const answer = await server.submit(callback, { queue: 'idle', headers: { 'idempotency-key': 'k' } })
    return [answer.status, ((await answer.json()) as { id?: string; code?: string }).code] as const
  }
  assert.deepEqual(await submit('https://hooks.example.com/a'), [202, undefined])
  assert.deepEqual(await submit('https://HOOKS.example.com:443/a'), [202, undefined])
  assert.deepEqual(await submit('https://hooks.example.com/b'), [422, 'IDEMPOTENCY_MISMATCH'])
  assert.deepEqual(await submit(null), [422, 'IDEMPOTENCY_MISMATCH'])
})

test('without a secret to sign with, callbacks are refused with the way to have them', async (t) => {
  const server = await startWebhookServer(t, { secrets: [] })
  const refused = await server.submit('https://hooks.example.com/')
  const problem = (await refused.json()) as { code: string; detail: string }
  assert.deepEqual([refused.status, problem.code], [501, 'CALLBACK_UNAVAILABLE'])
  assert.match(problem.detail, /webhooks\.secrets.*forebay webhooks secret/)
  assert.equal((await server.submit(null)).status, 202)
})

test('a stop cuts off a call that hangs; the next life makes it again, under the same id, when the lease is over', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-webhooks-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const receiver = await startReceiver(t)
  receiver.answer = () => {}
  const options = { ...local(receiver.port), timeout: '60s' }
  const first = await startWebhookServer(t, options, { dir })
  const task = await first.task(`http://127.0.0.1:${receiver.port}/`)
  await receiver.until(1)
  const beganMs = Date.now()
  await first.stop(200)
  assert.ok(Date.now() - beganMs < 10_000)
  receiver.answer = (response) => response.writeHead(204).end()
  const clock = new SkipClock()
  const second = await startWebhookServer(t, options, { dir, clock })
  const [waiting] = (await second.ask('GET', `/v1/tasks/${task}/callbacks`)).body.callbacks as CallbackJson[]
  assert.deepEqual([waiting!.state, waiting!.tries], ['due', 0], 'nobody knows what came of the first')
  clock.skip(90_000)
  const kept = await second.until(task, 'delivered')
  assert.equal(kept.tries, 1)
  assert.deepEqual(new Set(receiver.calls.map(({ headers }) => headers['webhook-id'])), new Set([kept.id]))
  await second.stop()
})

test('no secret and no query of a URL is in a log, a metric or an answer', async (t) => {
  const receiver = await startReceiver(t)
  receiver.answer = (response) => response.writeHead(500).end()
  const canary = Buffer.from('canary-canary-canary-canary-1234').toString('base64')
  const server = await startWebhookServer(t, { ...local(receiver.port), secrets: [`whsec_${canary}`], retries: [] })
  const task = await server.task(`http://127.0.0.1:${receiver.port}/?token=canary-token`)
  const kept = await server.until(task, 'given-up')
  const refused = await (await server.submit('https://user:canary-password@127.0.0.1/')).text()
  const seen = [server.logged(), await server.metrics.registry.metrics(), JSON.stringify(kept.attempts), refused].join(
    '\n',
  )
  assert.match(seen, /given up/)
  for (const secret of [canary, 'canary-canary', 'canary-token', 'canary-password'])
    assert.ok(!seen.includes(secret), secret)
})

function local(...ports: readonly number[]) {
  return { allow: ['127.0.0.1'], ports: [80, 443, ...ports.filter((port) => port !== 80)] }
}

interface Message {
  readonly type: string
  readonly timestamp: string
  readonly data: {
    readonly id: string
    readonly problem?: { readonly code: string }
    readonly result?: { readonly text?: string; readonly contentType: string }
  }
}
