import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { after, test } from 'node:test'
import { hasPostgres, startPostgres } from '../../../scripts/rig/postgres.ts'
import { hasRedis, startRedis } from '../../../scripts/rig/redis.ts'
import { forebay, temporaryFolder } from './run-forebay.ts'
import { up } from './run-up.ts'

const target = createServer((request, response) => request.pipe(response)).listen(0, '127.0.0.1')
await once(target, 'listening')
after(() => target.close())
const address = target.address() as { port: number }
const queue = `queues.echo.target=http://127.0.0.1:${address.port}/`

test('the embedded store, rebuilt from the log, gives the same answers', () => rebuilds([]))

test('PostgreSQL, rebuilt from the log, gives the same answers', { skip: await without(hasPostgres()) }, async () => {
  await using server = await startPostgres()
  await rebuilds(['--set', `store=${server.url}`])
})

test('Redis, rebuilt from the log, gives the same answers', { skip: await without(hasRedis()) }, async () => {
  await using server = await startRedis()
  await rebuilds(['--set', `store=${server.url}`])
})

test('what is embedded belongs to the process that runs on it, and that is said', async () => {
  using folder = temporaryFolder()
  await using running = await up(folder.path)
  assert.ok(running.url)
  const { code, stderr } = await forebay(['store', 'check'], { cwd: folder.path })
  assert.equal(code, 1)
  assert.match(stderr, /belongs to a forebay that is running/)
})

test('a store that is not there is named, without its password', async () => {
  using folder = temporaryFolder()
  const store = 'redis://:secret-word@127.0.0.1:1'
  const { code, stdout, stderr } = await forebay(['store', 'check', '--set', `store=${store}`], { cwd: folder.path })
  assert.equal(code, 5)
  assert.match(stderr, /Redis at 127\.0\.0\.1:1 /)
  assert.ok(!(stdout + stderr).includes('secret-word'))
})

async function rebuilds(flags: readonly string[]): Promise<void> {
  using folder = temporaryFolder()
  const tasks = new Map<string, string>()
  const args = [...flags, '--set', queue]
  {
    await using running = await up(folder.path, args)
    for (let n = 0; n < 20; n++) {
      const given = { method: 'POST', body: `answer ${n}`, headers: { prefer: 'wait=10' } }
      const response = await fetch(`${running.url}/v1/queues/echo/tasks`, given)
      assert.equal(response.status, 200)
      tasks.set(response.headers.get('forebay-task')!, await response.text())
    }
    running.child.kill('SIGTERM')
    await running.stopped
  }
  const run = (...words: readonly string[]) => forebay(['store', ...words, ...flags, '--json'], { cwd: folder.path })
  const asked = JSON.parse((await run('rebuild')).stdout) as { done: boolean; records: number }
  assert.equal(asked.done, false)
  assert.ok(asked.records >= 20)
  assert.deepEqual(JSON.parse((await run('rebuild', '--yes')).stdout), { done: true, records: asked.records })
  const checked = JSON.parse((await run('check')).stdout) as { missing: number; partitions: readonly unknown[] }
  assert.equal(checked.missing, 0)
  assert.equal(checked.partitions.length, 12)

  await using again = await up(folder.path, args)
  for (const [task, expected] of tasks) {
    assert.equal(await (await fetch(`${again.url}/v1/tasks/${task}/result`)).text(), expected)
  }
}

async function without(there: boolean | Promise<boolean>): Promise<string | false> {
  return (await there) ? false : 'The server is not installed here; `npm test` installs it where it may.'
}
