import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startReceiver } from './support/receiver.ts'
import { CARL, DORA, OPERATOR, startWebhookServer, type WebhookServer } from './support/webhook-server.ts'

const PATH = '/v1/admin/webhooks'

test('an operator lists the callbacks of everybody, narrows the list, and sees one with its delivery log', async (t) => {
  const { server, port, give } = await start(t)
  const carls = await give('/a')
  const doras = await give('/b', DORA)
  const idle = await server.task(`http://127.0.0.1:${port}/c`, { queue: 'idle' })
  const ids = async (query: string) => {
    const { status, body } = await server.ask('GET', `${PATH}${query}`, undefined, OPERATOR)
    assert.equal(status, 200, JSON.stringify(body))
    return (body.webhooks as Row[]).map(({ task }) => task).sort()
  }
  assert.deepEqual(await ids(''), [carls, doras, idle].sort())
  assert.deepEqual(await ids('?owner=dora'), [doras])
  assert.deepEqual(await ids('?queue=idle'), [idle])
  assert.deepEqual(await ids('?state=waiting'), [idle])
  assert.deepEqual(await ids(`?task=${carls}`), [carls])
  assert.deepEqual(await ids(`?url=${encodeURIComponent(`http://127.0.0.1:${port}/b`)}`), [doras])
  assert.deepEqual(await ids('?state=delivered&since=1h&limit=1000'), [carls, doras].sort())
  assert.deepEqual(await ids('?since=2999-01-01T00:00:00Z'), [])
  assert.equal((await ids('?limit=1')).length, 1)

  const { body } = await server.ask('GET', `${PATH}?task=${carls}`, undefined, OPERATOR)
  const one = await server.ask('GET', `${PATH}/${body.webhooks[0].id}`, undefined, OPERATOR)
  const { id, changedAt, attempts, ...rest } = one.body
  assert.deepEqual(rest, {
    task: carls,
    queue: 'echo',
    owner: 'carl',
    host: `127.0.0.1:${port}`,
    url: `http://127.0.0.1:${port}/a`,
    state: 'delivered',
    tries: 1,
    nextAt: null,
    taskState: 'succeeded',
  })
  assert.match(id, /^cb_[0-9a-z]{26}$/)
  assert.ok(Date.parse(changedAt) >= Date.parse(attempts[0].at))
  assert.equal(attempts[0].status, 204)
})

test('a replay makes the same call again, and by a filter only those that were given up', async (t) => {
  const { server, receiver, give } = await start(t)
  const good = await give('/good')
  receiver.answer = (response) => response.writeHead(500).end()
  const bad = await give('/bad', CARL, 'given-up')
  receiver.answer = (response) => response.writeHead(204).end()
  const replay = (body: object) => server.ask('POST', `${PATH}/replay`, body, OPERATOR)

  assert.deepEqual((await replay({ queue: 'echo' })).body, { replayed: 1 })
  await server.until(bad, 'delivered')
  assert.deepEqual(
    receiver.calls.map(({ path }) => path),
    ['/good', '/bad', '/bad'],
  )
  const [first] = receiver.calls
  const { id } = await server.until(good, 'delivered')
  assert.deepEqual((await replay({ id })).body, { replayed: 1 })
  const again = (await receiver.until(4))[3]!
  assert.deepEqual([again.headers['webhook-id'], String(again.body)], [id, String(first!.body)])
  const unknown = await replay({ id: 'cb_nothing' })
  assert.deepEqual([unknown.status, unknown.body.code], [404, 'CALLBACK_NOT_FOUND'])
  assert.match(server.logged(), /"action":"webhooks.replay".*"replayed":1/)
})

test('enabling lifts a 410, and calls what was held back', async (t) => {
  const { server, receiver, port, give } = await start(t)
  receiver.answer = (response) => response.writeHead(410).end()
  const task = await give('/gone', CARL, 'disabled')
  receiver.answer = (response) => response.writeHead(204).end()
  const url = `http://127.0.0.1:${port}/gone`
  const enable = (body: object) => server.ask('POST', `${PATH}/enable`, body, OPERATOR)
  assert.deepEqual((await enable({ owner: 'dora', url })).body, { enabled: false })
  assert.deepEqual((await enable({ owner: 'carl', url })).body, { enabled: true })
  await server.until(task, 'delivered')
  assert.equal((await server.submit(url)).status, 202)
})

test('a question that makes no sense is refused with what is right, and nobody but operators may ask', async (t) => {
  const { server } = await start(t)
  for (const [query, says] of [
    ['?state=bored', /waiting, due/],
    ['?limit=0', /1 to 1000/],
    ['?limit=1001', /1 to 1000/],
    ['?since=soon', /write a moment/],
    ['?tsk=a', /did you mean task/],
    ['?task=a&task=b', /twice/],
    ['?owner=', /text of 1/],
  ] as const) {
    const { status, body } = await server.ask('GET', `${PATH}${query}`, undefined, OPERATOR)
    assert.deepEqual([status, body.code], [400, 'BAD_REQUEST'], query)
    assert.match(body.detail, says)
  }
  for (const [path, body] of [
    ['replay', {}],
    ['replay', { limit: 5 }],
    ['replay', { all: 'yes' }],
    ['replay', []],
    ['enable', { owner: 'carl' }],
    ['enable', { url: 'https://a.b/' }],
    ['enable', { owner: 'carl', url: 'https://a.b/', state: 'due' }],
  ] as const) {
    assert.equal((await server.ask('POST', `${PATH}/${path}`, body, OPERATOR)).status, 400, JSON.stringify(body))
  }
  for (const [method, path] of [
    ['GET', PATH],
    ['GET', `${PATH}/cb_1`],
    ['POST', `${PATH}/replay`],
    ['POST', `${PATH}/enable`],
  ] as const) {
    assert.equal((await server.ask(method, path, method === 'POST' ? {} : undefined, CARL)).status, 403, path)
  }
  const missing = await server.ask('GET', `${PATH}/cb_1`, undefined, OPERATOR)
  assert.deepEqual([missing.status, missing.body.code], [404, 'CALLBACK_NOT_FOUND'])
})

interface Row {
  readonly task: string
}

async function start(t: Parameters<typeof startReceiver>[0]) {
  const receiver = await startReceiver(t)
  const { port } = receiver
  const server: WebhookServer = await startWebhookServer(t, { allow: ['127.0.0.1'], ports: [port], retries: [] })
  return {
    server,
    receiver,
    port,
    /** A task that ends at once; resolves when its callback has come to this state. */
    async give(path: string, headers: Record<string, string> = CARL, state = 'delivered'): Promise<string> {
      const task = await server.task(`http://127.0.0.1:${port}${path}`, { headers })
      await server.until(task, state, headers)
      return task
    },
  }
}
