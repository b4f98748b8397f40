import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { createClient, TaskFailedError } from '@forebay/sdk/client'
import { createWorker } from '@forebay/sdk/worker'
import { forebay, temporaryFolder } from './run-forebay.ts'
import { up } from './run-up.ts'

/** All parts are real: a delayed task is parked by the dispatcher, and an operator moves it on by the command. */

const digest = (key: string) => createHash('sha256').update(key).digest('hex')
const CONFIG = `
queues: { hello: {} }
auth:
  keys:
    - { principal: shop, sha256: "${digest('shops')}" }
    - { principal: ops, sha256: "${digest('opss')}", operator: true }
`

test('an operator lists what waits, shows it, mends it, lets it go or gives it up; nobody else can', async () => {
  using folder = temporaryFolder()
  writeFileSync(join(folder.path, 'forebay.yaml'), CONFIG)
  await using server = await up(folder.path)
  await using _worker = createWorker({
    server: server.grpc,
    queues: { hello: (task) => `Hello, ${task.text()}!` },
  })
  const shop = createClient({ url: server.url, key: 'shops' })
  const ops = { FOREBAY_URL: server.url, FOREBAY_KEY: 'opss' }
  const mended = await shop.submit('hello', 'wrld', { delay: '1h' })
  const skipped = await shop.submit('hello', 'nobody', { delay: '2h' })
  const asShop = { FOREBAY_URL: server.url, FOREBAY_KEY: 'shops' }
  const due = (
    await forebay(['submit', 'hello', 'late', '--delay', '6s', '--priority', '9'], { env: asShop })
  ).stdout.trim()

  const rows = await listUntil(ops, 3)
  assert.deepEqual(new Set(rows.map(({ id }) => id)), new Set([mended.id, skipped.id, due]))
  for (const { reason, owner } of rows) assert.deepEqual([reason, owner], ['delayed', 'shop'])
  const table = await forebay(['parked', 'list', '--queue', 'hello'], { env: ops })
  assert.match(table.stdout, /^QUEUE +TASK +KEY +REASON/)
  assert.ok(table.stdout.includes(mended.id))
  assert.equal(await mended.state(), 'parked')

  const body = await forebay(['parked', 'show', 'hello', mended.id, '--body'], { env: ops })
  assert.deepEqual([body.code, body.stdout], [0, 'wrld'], body.stderr)
  assert.match((await forebay(['parked', 'show', 'hello', mended.id], { env: ops })).stdout, /^reason {5}delayed$/m)
  const edited = await forebay(['parked', 'edit', 'hello', mended.id, '-'], { env: ops, input: 'world' })
  assert.equal(edited.code, 0, edited.stderr)
  const released = await forebay(['parked', 'release', 'hello', mended.id, '--json'], { env: ops })
  assert.deepEqual(JSON.parse(released.stdout), { id: mended.id, queue: 'hello', wish: 'release' })
  assert.equal((await mended.result({ within: '30s' })).text(), 'Hello, world!')

  assert.equal((await forebay(['parked', 'skip', 'hello', skipped.id], { env: ops })).code, 0)
  const failed = await skipped.result({ within: '30s' }).catch((thrown: unknown) => thrown)
  assert.ok(failed instanceof TaskFailedError)
  assert.deepEqual([failed.state, failed.code], ['dead', 'TASK_SKIPPED'])

  assert.equal((await shop.task(due).result({ within: '30s' })).text(), 'Hello, late!')
  const status = await shop.task(due).status()
  assert.ok(status.finishedAt!.getTime() - status.acceptedAt.getTime() >= 6_000, 'not before its time')

  const gone = await forebay(['parked', 'retry', 'hello', mended.id], { env: ops })
  assert.equal(gone.code, 3)
  assert.match(gone.stderr, /PARKED_NOT_FOUND/)
  const refused = await forebay(['parked', 'list'], { env: asShop })
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /FORBIDDEN[\s\S]*operator: true/)
})

interface Row {
  readonly id: string
  readonly reason: string
  readonly owner: string
}

async function listUntil(env: Readonly<Record<string, string>>, count: number): Promise<readonly Row[]> {
  for (;;) {
    const { code, stdout, stderr } = await forebay(['parked', 'list', '--json'], { env })
    assert.equal(code, 0, stderr)
    const rows = stdout.split('\n').filter(Boolean)
    if (rows.length >= count) return rows.map((line) => JSON.parse(line) as Row)
  }
}
