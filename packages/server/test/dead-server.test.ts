import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeReported } from '../src/records.ts'
import { deadTopic, RESULTS_TOPIC, taskTopic } from '../src/topics.ts'
import { CALLER_KEY, jsonLines, OPERATOR_KEY, openDeadServer } from './support/dead-server.ts'
import { readWhole } from './support/dead-suite.ts'

test('fail, dead, redriven, succeeded: the same id, one answer in each generation', async () => {
  await using rig = await openDeadServer()
  const id = await rig.submit('orders', 'parcel', { 'forebay-key': 'k' })
  const dead = await rig.until(id, 'dead')
  assert.equal((dead.problem as { code: string }).code, 'TARGET_UNAVAILABLE')

  const { letters, total } = (await (await rig.get('/v1/admin/dead?queue=orders')).json()) as Letters
  assert.equal(total, 1)
  const [letter] = letters
  assert.deepEqual(
    [letter!.task, letter!.key, letter!.code, letter!.attempts, letter!.generation, letter!.state],
    [id, 'k', 'TARGET_UNAVAILABLE', 2, 0, 'open'],
  )
  const whole = (await (await rig.get(`/v1/admin/dead/${letter!.letter}`)).json()) as Whole
  assert.equal(whole.body, 'parcel')
  assert.deepEqual(
    whole.history.map(({ number, code }) => [number, code]),
    [
      [1, 'TARGET_UNAVAILABLE'],
      [2, 'TARGET_UNAVAILABLE'],
    ],
  )
  assert.ok(Date.parse(whole.history[0]!.beganAt) <= Date.parse(whole.history[0]!.endedAt))
  assert.ok(whole.headers.some(({ name, value }) => name === 'ce_id' && value === id))

  rig.answer = () => ({ status: 200, body: 'delivered' })
  const streamed = await rig.post('/v1/admin/dead/redrive', { letters: [letter!.letter], reason: 'target is back' })
  assert.equal(streamed.headers.get('content-type'), 'application/x-ndjson')
  assert.deepEqual((await jsonLines(streamed)).at(-1), { done: true, redriven: 1, already: 0, refused: {} })
  const done = await rig.until(id, 'succeeded')
  assert.equal(done.attempts, 1, 'attempts are counted anew')
  assert.equal(await (await rig.get(`/v1/tasks/${id}/result`)).text(), 'delivered')

  const reported = (await readWhole(rig.broker, RESULTS_TOPIC)).map(decodeReported)
  const ends = reported.flatMap((one) => (one?.kind === 'result' && one.result.taskId === id ? [one.result] : []))
  assert.deepEqual(
    ends.map(({ generation, end }) => [generation, end.state]),
    [
      [0, 'dead'],
      [1, 'succeeded'],
    ],
  )
  assert.equal(((await (await rig.get('/v1/admin/dead')).json()) as Letters).total, 0)
  const { verdicts } = (await (await rig.get('/v1/admin/dead/audit')).json()) as Verdicts
  assert.deepEqual(
    verdicts.map(({ letter: name, verdict, task, by, reason }) => [name, verdict, task, by, reason]),
    [[letter!.letter, 'redriven', id, 'anonymous', 'target is back']],
  )
})

test('a task that dies again is a letter of its next generation, until the loop guard says stop', async () => {
  await using rig = await openDeadServer()
  const id = await rig.submit('orders', 'never')
  for (let generation = 0; generation <= 3; generation++) {
    const letter = await onlyOpenLetter(rig)
    assert.deepEqual([letter.task, letter.generation], [id, generation])
    const last = (await jsonLines(await rig.post('/v1/admin/dead/redrive', { queue: 'orders' }))).at(-1)
    const expected = generation < 3 ? { redriven: 1, refused: {} } : { redriven: 0, refused: { generations: 1 } }
    assert.deepEqual(last, { done: true, already: 0, ...expected })
  }
})

test('edited and redriven: the worker gets the other body', async () => {
  await using rig = await openDeadServer({ orders: { schema: { required: ['address'] } } })
  rig.answer = (body) => (body.includes('good') ? { status: 200, body: 'fine' } : { status: 503, body: 'bad' })
  const id = await rig.submit('orders', '{"address":"bad"}', { 'content-type': 'application/json' })
  const { letter } = await onlyOpenLetter(rig)
  const wrong = await rig.post(`/v1/admin/dead/${letter}/redrive`, '{}')
  assert.equal(((await wrong.json()) as { code: string }).code, 'SCHEMA_MISMATCH')
  const edited = await rig.post(`/v1/admin/dead/${letter}/redrive?reason=typo`, '{"address":"good"}', {
    'content-type': 'application/json',
  })
  assert.deepEqual(await edited.json(), { letter, generation: 1, redriven: 1, already: 0, refused: {} })
  await rig.until(id, 'succeeded')
  assert.equal(rig.calls.at(-1), '{"address":"good"}')
  const again = await rig.post(`/v1/admin/dead/${letter}/redrive`, 'x')
  assert.equal(again.status, 404)
  assert.equal(((await again.json()) as { state: string }).state, 'redriven')
})

test('a dry run counts, a discard closes, and nothing runs', async () => {
  await using rig = await openDeadServer()
  const ids = await Promise.all(['a', 'b', 'c'].map((body) => rig.submit('orders', body)))
  await Promise.all(ids.map((id) => rig.until(id, 'dead')))
  const calls = rig.calls.length
  const dry = (await (await rig.post('/v1/admin/dead/redrive', { all: true, dryRun: true })).json()) as Dry
  assert.deepEqual([dry.count, dry.histogram], [3, { orders: { TARGET_UNAVAILABLE: 3 } }])
  assert.ok(Date.parse(dry.oldestAt) <= Date.parse(dry.newestAt))
  const histogram = (await (await rig.get('/v1/admin/dead/histogram')).json()) as { total: number }
  assert.equal(histogram.total, 3)
  const discarded = await jsonLines(await rig.post('/v1/admin/dead/discard', { queue: 'orders', reason: 'test data' }))
  assert.deepEqual(discarded.at(-1), { done: true, discarded: 3 })
  assert.equal(((await (await rig.get('/v1/admin/dead')).json()) as Letters).total, 0)
  assert.equal(((await (await rig.get('/v1/admin/dead?state=discarded')).json()) as Letters).total, 3)
  assert.equal(rig.calls.length, calls)
  for (const id of ids) assert.equal((await rig.until(id, 'dead')).state, 'dead')
})

test('1,000 tasks that died are redriven at a chosen rate, each ends once in each generation', async () => {
  const queue = { breaker: 'off', retry: { attempts: 1 }, concurrency: 50 } as const
  await using rig = await openDeadServer({ one: queue, two: queue })
  const ids = await Promise.all(
    Array.from({ length: 1_000 }, (_, index) => rig.submit(index % 2 === 0 ? 'one' : 'two', `body ${index}`)),
  )
  for (let total = 0; total < 1_000; ) ({ total } = (await (await rig.get('/v1/admin/dead?limit=1')).json()) as Letters)
  const firstRuns = rig.calls.length
  rig.answer = (body) => ({ status: 200, body: `done: ${body}` })
  const beganMs = performance.now()
  const lines = await jsonLines(await rig.post('/v1/admin/dead/redrive', { all: true, rate: 400 }))
  const tookMs = performance.now() - beganMs
  assert.deepEqual(lines.at(-1), { done: true, redriven: 1_000, already: 0, refused: {} })
  assert.ok(tookMs >= 2_300, `400 a second, not faster: ${tookMs}`)
  assert.ok(lines.length >= 3, 'it tells how far it is')
  for (const id of ids) await rig.until(id, 'succeeded')
  assert.equal(rig.calls.length - firstRuns, 1_000)

  const ends = new Map<string, string[]>()
  for (const record of await readWhole(rig.broker, RESULTS_TOPIC)) {
    const reported = decodeReported(record)
    if (reported?.kind !== 'result') continue
    const { taskId, generation, end } = reported.result
    ends.set(taskId, [...(ends.get(taskId) ?? []), `${generation} ${end.state}`])
  }
  assert.equal(ends.size, 1_000)
  for (const of of ends.values()) assert.deepEqual(of, ['0 dead', '1 succeeded'])
})

test('records that are no tasks become letters with their bytes, and others flow', async () => {
  await using rig = await openDeadServer()
  rig.answer = () => ({ status: 200, body: 'ok' })
  const topic = taskTopic('orders')
  const raw = Buffer.from([0xff, 0, 1])
  const wrong = { topic, partition: 0, key: raw, value: raw, headers: [['fb-budget', Buffer.from('soon')]] as const }
  await rig.broker.publish([wrong])
  await rig.until(await rig.submit('orders', 'fine'), 'succeeded')
  const letter = await onlyOpenLetter(rig)
  assert.deepEqual([letter.code, letter.task, letter.attempts], ['TASK_UNDECODABLE', `${topic}:0:0`, 0])
  const [record] = await readWhole(rig.broker, deadTopic(topic))
  assert.deepEqual([Buffer.from(record!.key!), Buffer.from(record!.value!)], [raw, raw])
  const whole = (await (await rig.get(`/v1/admin/dead/${letter.letter}`)).json()) as Whole
  assert.deepEqual([whole.bodyBase64, whole.keyBase64], [raw.toString('base64'), raw.toString('base64')])
})

test('only operators get in, and faults of a request name the field', async () => {
  await using rig = await openDeadServer({ orders: {} }, { keys: true })
  const as = (key: string) => ({ authorization: `Bearer ${key}` })
  for (const [path, init] of [
    ['/v1/admin/dead', {}],
    ['/v1/admin/dead/orders/0/0', {}],
    ['/v1/admin/dead/redrive', { method: 'POST' }],
    ['/v1/admin/dead/discard', { method: 'POST' }],
    ['/v1/admin/dead/orders/0/0/redrive', { method: 'POST' }],
  ] as const) {
    assert.equal((await fetch(rig.url + path, init)).status, 401, path)
    assert.equal((await fetch(rig.url + path, { ...init, headers: as(CALLER_KEY) })).status, 403, path)
  }
  const asked = async (response: Promise<Response>) => {
    const { status } = await response
    const { code, detail } = (await (await response).json()) as { code: string; detail: string }
    return { status, code, detail }
  }
  const operator = as(OPERATOR_KEY)
  const faults: readonly [Promise<Response>, number, RegExp][] = [
    [rig.get('/v1/admin/dead?quue=orders', operator), 400, /quue.*did you mean queue/],
    [rig.get('/v1/admin/dead?queue=order', operator), 404, /Did you mean orders/],
    [rig.get('/v1/admin/dead?limit=0', operator), 400, /limit is "0"/],
    [rig.get('/v1/admin/dead?since=lately', operator), 400, /since is "lately"/],
    [rig.get('/v1/admin/dead?state=closed', operator), 400, /open, redriven, discarded, any/],
    [rig.get('/v1/admin/dead/orders/x/y', operator), 404, /orders\/3\/17/],
    [rig.get('/v1/admin/dead/orders/0/99999', operator), 404, /orders\/0\/99999/],
    [rig.post('/v1/admin/dead/redrive', {}, operator), 400, /letters is missing/],
    [rig.post('/v1/admin/dead/redrive', '{', operator), 400, /no JSON/],
    [rig.post('/v1/admin/dead/redrive', '[]', operator), 400, /JSON object/],
    [rig.post('/v1/admin/dead/redrive', { all: true, rate: 0 }, operator), 400, /rate is 0/],
    [rig.post('/v1/admin/dead/redrive', { letters: ['orders-0-1'] }, operator), 400, /orders\/3\/17/],
    [rig.post('/v1/admin/dead/redrive', { letters: ['orders/0/1'], queue: 'orders' }, operator), 400, /cannot go with/],
    [rig.post('/v1/admin/dead/discard', { all: 'maybe' }, operator), 400, /true or false/],
  ]
  for (const [response, status, says] of faults) {
    const answer = await asked(response)
    assert.equal(answer.status, status, answer.detail)
    assert.match(answer.detail, says)
  }
  assert.deepEqual(await (await rig.get('/v1/admin/dead', operator)).json(), { letters: [], total: 0 })
})

async function onlyOpenLetter(rig: Awaited<ReturnType<typeof openDeadServer>>): Promise<LetterSeen> {
  for (;;) {
    const { letters } = (await (await rig.get('/v1/admin/dead')).json()) as Letters
    if (letters.length > 0) {
      assert.equal(letters.length, 1)
      return letters[0]!
    }
  }
}

interface LetterSeen {
  readonly letter: string
  readonly task: string
  readonly key: string | null
  readonly code: string
  readonly attempts: number
  readonly generation: number
  readonly state: string
}
interface Letters {
  readonly letters: readonly LetterSeen[]
  readonly total: number
}
interface Whole {
  readonly body?: string
  readonly bodyBase64?: string
  readonly keyBase64?: string
  readonly history: readonly { number: number; code: string; beganAt: string; endedAt: string }[]
  readonly headers: readonly { name: string; value: string }[]
}
interface Verdicts {
  readonly verdicts: readonly { letter: string; verdict: string; task: string; by: string; reason: string }[]
}
interface Dry {
  readonly count: number
  readonly histogram: object
  readonly oldestAt: string
  readonly newestAt: string
}
