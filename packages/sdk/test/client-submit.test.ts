import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createClient, type RequestError } from '../src/client/client.ts'
import { accepted, HttpGateway, hangUp, problem, type Reply, silence } from './http-gateway.ts'
import { HurriedClock } from './hurried-clock.ts'

test('submit posts the body with its type and its options, and hands back the task', async () => {
  await using gateway = await HttpGateway.start(accepted('abc'))
  const forebay = createClient({ url: `${gateway.url}/`, key: 'sk-1' })
  const task = await forebay.submit(
    'thumb/nails',
    { a: 1 },
    { key: 'Müller', idempotencyKey: 'upload-9', deadline: '90s' },
  )
  assert.equal(task.id, 'abc')
  assert.equal(task.queue, 'thumb/nails')
  assert.equal(task.replayed, false)
  const [asked] = gateway.asked
  assert.equal(asked?.method, 'POST')
  assert.equal(asked?.path, '/v1/queues/thumb%2Fnails/tasks')
  assert.equal(asked?.body.toString(), '{"a":1}')
  assert.equal(asked?.headers['content-type'], 'application/json')
  assert.equal(asked?.headers.authorization, 'Bearer sk-1')
  assert.equal(asked?.headers['idempotency-key'], 'upload-9')
  assert.equal(asked?.headers['forebay-deadline'], '90')
  assert.equal(asked?.headers.prefer, undefined)
  assert.equal(Buffer.from(String(asked?.headers['forebay-key']), 'latin1').toString(), 'Müller')
})

test('a delay or a moment, and a priority, go out as the headers that say so', async () => {
  await using gateway = await HttpGateway.start(accepted())
  const forebay = createClient({ url: gateway.url })
  await forebay.submit('q', 1, { delay: '90s', priority: 0 })
  await forebay.submit('q', 1, { delay: 1_500, deadline: '2s' })
  await forebay.submit('q', 1, { notBefore: new Date('2026-05-01T08:30:00.250Z'), priority: 9 })
  await forebay.submit('q', 1)
  const names = ['forebay-delay', 'forebay-not-before', 'forebay-priority', 'forebay-deadline'] as const
  assert.deepEqual(
    gateway.asked.map(({ headers }) => names.map((name) => headers[name])),
    [
      ['90', undefined, '0', undefined],
      ['1.5', undefined, undefined, '2'],
      [undefined, '2026-05-01T08:30:00.250Z', '9', undefined],
      [undefined, undefined, undefined, undefined],
    ],
  )
  for (const options of [
    { delay: '1s', notBefore: new Date() },
    { delay: '-1s' },
    { delay: -1 },
    { notBefore: new Date('never') },
    { notBefore: '2026-05-01T08:30:00Z' as unknown as Date },
    { priority: 10 },
    { priority: -1 },
    { priority: 4.5 },
    { priority: Number.NaN },
  ]) {
    await assert.rejects(forebay.submit('q', 1, options), { code: 'BAD_REQUEST' }, JSON.stringify(options))
  }
  assert.equal(gateway.asked.length, 4)
})

test('bytes, text, JSON and a named type each go out as what they are', async () => {
  await using gateway = await HttpGateway.start(accepted())
  const forebay = createClient({ url: gateway.url })
  await forebay.submit('q', new Uint8Array([0, 255]))
  await forebay.submit('q', 'grüß')
  await forebay.submit('q', null)
  await forebay.submit('q', undefined)
  await forebay.submit('q', { body: '<a/>', contentType: 'application/xml' })
  await forebay.submit('q', '{}', { contentType: 'application/json' })
  assert.deepEqual(
    gateway.asked.map(({ headers, body }) => [headers['content-type'], body.toString('latin1')]),
    [
      ['application/octet-stream', '\x00\xff'],
      ['text/plain; charset=utf-8', 'gr\xc3\xbc\xc3\x9f'],
      ['application/json', 'null'],
      ['application/octet-stream', ''],
      ['application/xml', '<a/>'],
      ['application/json', '{}'],
    ],
  )
})

test('a submit is retried under one key, generated when there was none, until it is kept', async () => {
  await using gateway = await HttpGateway.start(
    hangUp,
    problem('OUTCOME_UNKNOWN'),
    problem('OVERLOADED'),
    problem('IDEMPOTENCY_IN_FLIGHT'),
    accepted('t', { 'idempotent-replayed': 'true' }),
  )
  const forebay = createClient({ url: gateway.url, clock: new HurriedClock() })
  const first = await forebay.submit('q', 'x')
  assert.equal(first.replayed, true)
  const keys = gateway.asked.map(({ headers }) => headers['idempotency-key'])
  assert.equal(keys.length, 5)
  assert.match(String(keys[0]), /^[\w-]{22}$/)
  assert.equal(new Set(keys).size, 1)
  assert.equal(new Set(gateway.asked.map(({ body }) => body.toString())).size, 1)

  await forebay.submit('q', 'x')
  assert.notEqual(gateway.asked[5]?.headers['idempotency-key'], keys[0])
})

test('Retry-After holds the next request back, as seconds and as a date', async () => {
  await using gateway = await HttpGateway.start(
    problem('OVERLOADED', {}, { 'retry-after': '7' }),
    (asked, response) =>
      problem('NOT_ACCEPTED', {}, { 'retry-after': new Date(clock.wallMs() + 9_000).toUTCString() })(asked, response),
    accepted(),
  )
  const clock = new HurriedClock()
  const forebay = createClient({ url: gateway.url, clock, random: { fill: () => {}, unit: () => 0 } })
  await forebay.submit('q', 'x')
  assert.equal(clock.slept[0], 7_000)
  assert.ok(clock.slept[1]! > 7_000 && clock.slept[1]! <= 9_000, `slept ${clock.slept[1]}`)
})

test('backoff doubles and is drawn at random below its ceiling', async () => {
  await using gateway = await HttpGateway.start(problem('NOT_ACCEPTED'))
  const clock = new HurriedClock()
  const forebay = createClient({ url: gateway.url, clock, random: { fill: () => {}, unit: () => 0.5 } })
  await assert.rejects(forebay.submit('q', 'x'), { code: 'NOT_ACCEPTED' })
  assert.deepEqual(clock.slept, [50, 100, 200, 400])
})

test('retries end with their number, or with their time', async () => {
  await using gateway = await HttpGateway.start(problem('OVERLOADED', {}, { 'retry-after': '20' }))
  const byNumber = createClient({ url: gateway.url, retry: { attempts: 1 }, clock: new HurriedClock() })
  await assert.rejects(byNumber.submit('q', 'x'), { code: 'OVERLOADED' })
  assert.equal(gateway.asked.length, 1)
  const byTime = createClient({ url: gateway.url, retry: { within: '30s' }, clock: new HurriedClock() })
  await assert.rejects(byTime.submit('q', 'x'), { code: 'OVERLOADED', retryAfterMs: 20_000 })
  assert.equal(gateway.asked.length, 3)
})

test('what no retry can mend is asked once and told as the gateway told it', async () => {
  await using gateway = await HttpGateway.start(problem('QUEUE_NOT_FOUND', { nearest: 'thumbnails' }))
  const forebay = createClient({ url: gateway.url })
  const error = await forebay.submit('thumbnial', 'x', { idempotencyKey: 'k' }).then(
    () => assert.fail('it was refused'),
    (thrown: RequestError) => thrown,
  )
  assert.equal(error.name, 'RequestError')
  assert.equal(error.code, 'QUEUE_NOT_FOUND')
  assert.equal(error.status, 404)
  assert.equal(error.isRetryable, false)
  assert.equal(error.message, 'It is QUEUE_NOT_FOUND.')
  assert.equal(error.problem.nearest, 'thumbnails')
  assert.equal(error.idempotencyKey, 'k')
  assert.equal(gateway.asked.length, 1)
})

test('a gateway that does not answer ends in UNREACHABLE with the key to ask again under', async () => {
  await using gateway = await HttpGateway.start(silence)
  const forebay = createClient({ url: gateway.url, timeout: 30, retry: { attempts: 2 } })
  const error = await forebay.submit('q', 'x').catch((thrown: RequestError) => thrown)
  assert.ok(error instanceof Error && 'idempotencyKey' in error)
  assert.equal(error.code, 'UNREACHABLE')
  assert.equal(error.isRetryable, true)
  assert.equal(error.status, null)
  assert.match(error.message, /no answer within 30 ms/)
  assert.equal(error.idempotencyKey, gateway.asked[1]?.headers['idempotency-key'])
})

test('with several gateways the next one is asked when one is gone', async () => {
  const gone = await HttpGateway.start(accepted())
  await gone[Symbol.asyncDispose]()
  await using gateway = await HttpGateway.start(accepted('there'))
  for (const unit of [0, 0.99]) {
    const random = { fill: () => {}, unit: () => unit }
    const forebay = createClient({ urls: [gone.url, gateway.url], clock: new HurriedClock(), random })
    assert.equal((await forebay.submit('q', 'x')).id, 'there')
  }
})

test("a proxy's 502, 503 and 504 are retried, another stranger's answer is not", async () => {
  const plain =
    (status: number, headers: Record<string, string> = {}): Reply =>
    (_asked, response) => {
      response.writeHead(status, { 'content-type': 'text/html', ...headers })
      response.end('<html>')
    }
  await using proxy = await HttpGateway.start(plain(502), plain(503), plain(504), accepted('t'))
  const throughProxy = createClient({ url: proxy.url, clock: new HurriedClock() })
  assert.equal((await throughProxy.submit('q', 'x')).id, 't')
  for (const [reply, message] of [
    [plain(200), /not as a Forebay gateway does|not a gateway's JSON/],
    [plain(301, { location: 'https://example.test/' }), /a redirect to https:\/\/example\.test\/: use that address/],
    [plain(403), /answered 403; no Forebay gateway says that/],
  ] as const) {
    await using stranger = await HttpGateway.start(reply)
    const forebay = createClient({ url: stranger.url, clock: new HurriedClock() })
    await assert.rejects(forebay.submit('q', 'x'), { code: 'UNEXPECTED_ANSWER', isRetryable: false, message })
    assert.equal(stranger.asked.length, 1)
  }
})

test('a signal ends a submit, while it is asked and while it holds back', async () => {
  await using gateway = await HttpGateway.start(
    (asked, response) => {
      asking.abort(new Error('enough'))
      return silence(asked, response)
    },
    problem('OVERLOADED', {}, { 'retry-after': '25' }),
  )
  const asking = new AbortController()
  const forebay = createClient({ url: gateway.url })
  await assert.rejects(forebay.submit('q', 'x', { signal: asking.signal }), { message: 'enough' })
  await assert.rejects(forebay.submit('q', 'x', { signal: AbortSignal.timeout(50) }), { name: 'TimeoutError' })
  assert.equal(gateway.asked.length, 2)
  await assert.rejects(forebay.submit('q', 'x', { signal: AbortSignal.abort(new Error('before')) }), {
    message: 'before',
  })
  assert.equal(gateway.asked.length, 2)
})

test('options that cannot be sent are refused before anything is sent', async () => {
  await using gateway = await HttpGateway.start(accepted())
  const forebay = createClient({ url: gateway.url })
  for (const options of [
    { idempotencyKey: '' },
    { idempotencyKey: 'a b' },
    { idempotencyKey: 'x'.repeat(256) },
    { idempotencyKey: 'é' },
    { key: '' },
    { key: 'a\r\nb: c' },
    { key: 'ü'.repeat(129) },
    { key: '\ud800' },
    { deadline: 'soon' },
  ]) {
    await assert.rejects(forebay.submit('q', 'x', options), { code: 'BAD_REQUEST' }, JSON.stringify(options))
  }
  await assert.rejects(forebay.submit('q', { n: 1n }), { code: 'BAD_REQUEST', message: /BigInt/ })
  assert.equal(gateway.asked.length, 0)
})

test('a wrong client option is refused with its name and what is right, a key without its value', () => {
  for (const [options, message] of [
    [{}, /url: name at least one/],
    [{ url: '127.0.0.1:8080' }, /url: must be an http or https address/],
    [{ url: 'http://user:pw@host/' }, /url: must have no user/],
    [{ url: 'http://h', key: 'secret key' }, /key: must be visible ASCII/],
    [{ url: 'http://h', retry: { attempts: 0 } }, /retry\.attempts: .*got 0/],
  ] as const) {
    assert.throws(() => createClient(options), { code: 'CONFIG_INVALID', message })
  }
  assert.throws(
    () => createClient({ url: 'http://h', key: 'secret key' }),
    (error: Error) => !error.message.includes('secret'),
  )
})
