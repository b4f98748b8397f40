import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import { createClient } from '@forebay/sdk/client'
import { createWorker } from '@forebay/sdk/worker'
import { Webhook } from 'standardwebhooks'
import { forebay, temporaryFolder } from './run-forebay.ts'
import { up } from './run-up.ts'

/** All parts are real: the command's own gateway calls a receiver of the test, with a secret that the command has made. */

const digest = (key: string) => createHash('sha256').update(key).digest('hex')

test('a caller is called with a secret that the command has made; an operator sees calls that failed and makes them again', async (t) => {
  const secret = (await forebay(['webhooks', 'secret'])).stdout.trim()
  assert.match(secret, /^whsec_[A-Za-z0-9+/]{43}=$/)
  let status = 500
  const calls: { readonly headers: IncomingHttpHeaders; readonly body: Buffer }[] = []
  const receiver = createServer(async (request, response) => {
    calls.push({ headers: request.headers, body: await buffer(request) })
    response.writeHead(status).end()
  }).listen(0, '127.0.0.1')
  await once(receiver, 'listening')
  t.after(() => receiver.close())
  const { port } = receiver.address() as AddressInfo
  const url = `http://127.0.0.1:${port}/done`
  using folder = temporaryFolder()
  writeFileSync(
    join(folder.path, 'forebay.yaml'),
    `
queues: { hello: {} }
webhooks: { secrets: [${secret}], allow: [127.0.0.1], ports: [443, ${port}], retries: [] }
auth:
  keys:
    - { principal: shop, sha256: "${digest('shops')}" }
    - { principal: ops, sha256: "${digest('opss')}", operator: true }
`,
  )
  await using server = await up(folder.path)
  await using _worker = createWorker({ server: server.grpc, queues: { hello: (task) => `Hello, ${task.text()}!` } })
  const ops = { FOREBAY_URL: server.url, FOREBAY_KEY: 'opss' }
  const shop = createClient({ url: server.url, key: 'shops' })
  const task = await shop.submit('hello', 'world', { callback: url })

  const row = await listUntil(server.url, 'given-up')
  assert.deepEqual([row.task, row.owner, row.url], [task.id, 'shop', url])
  const shown = await forebay(['webhooks', 'show', row.id], { env: ops })
  assert.match(shown.stdout, /^state {6}given-up$/m)
  assert.match(shown.stdout, /^call .*: The receiver answered 500\.$/m)
  const listed = await forebay(['webhooks', 'list', '--state', 'given-up'], { env: ops })
  assert.match(listed.stdout, /^ID +STATE +TRIES/)
  assert.ok(listed.stdout.includes(row.id))

  status = 410
  const replayed = await forebay(['webhooks', 'replay', row.id], { env: ops })
  assert.match(replayed.stderr, /1 call is due now/)
  await listUntil(server.url, 'disabled')
  status = 204
  assert.match((await forebay(['webhooks', 'enable', 'shop', url], { env: ops })).stderr, /called again/)
  await listUntil(server.url, 'delivered')
  assert.deepEqual(new Set(calls.map(({ headers }) => headers['webhook-id'])), new Set([row.id]))
  const last = calls.at(-1)!
  const message = new Webhook(secret).verify(last.body, last.headers as Record<string, string>)
  assert.deepEqual((message as { data: { result: unknown } }).data.result, {
    contentType: 'text/plain; charset=utf-8',
    text: 'Hello, world!',
  })

  const asShop = { FOREBAY_URL: server.url, FOREBAY_KEY: 'shops' }
  const named = await forebay(['submit', 'hello', 'again', '--callback', url], { env: asShop })
  assert.equal(named.code, 0, named.stderr)
  const inside = await forebay(['submit', 'hello', 'x', '--callback', 'https://169.254.169.254/'], { env: asShop })
  assert.match(inside.stderr, /CALLBACK_REFUSED/)
  assert.equal((await forebay(['webhooks', 'list'], { env: asShop })).code, 1)
  assert.equal((await forebay(['webhooks', 'show', 'cb_nothing'], { env: ops })).code, 3)
  assert.equal((await forebay(['webhooks', 'replay'], { env: ops })).code, 2)
})

interface Row {
  readonly id: string
  readonly task: string
  readonly owner: string
  readonly url: string
}

/** Asks the gateway itself: a command a look would take its time. */
async function listUntil(url: string, state: string): Promise<Row> {
  for (;;) {
    const headers = { authorization: 'Bearer opss' }
    const response = await fetch(`${url}/v1/admin/webhooks?state=${state}`, { headers })
    assert.equal(response.status, 200)
    const [row] = ((await response.json()) as { webhooks: Row[] }).webhooks
    if (row !== undefined) return row
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
