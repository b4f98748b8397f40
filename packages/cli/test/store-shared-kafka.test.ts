import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { after, test } from 'node:test'
import { startKafka } from '../../../scripts/rig/kafka.ts'
import { startPostgres } from '../../../scripts/rig/postgres.ts'
import { forebay, temporaryFolder } from './run-forebay.ts'
import { up } from './run-up.ts'

const target = createServer((request, response) => request.pipe(response)).listen(0, '127.0.0.1')
await once(target, 'listening')
const { port } = target.address() as { port: number }
const kafka = await startKafka()
const postgres = await startPostgres()
after(async () => {
  target.close()
  await postgres[Symbol.asyncDispose]()
  await kafka[Symbol.asyncDispose]()
})

test('gateways that share Kafka and PostgreSQL: one key is one task, answers everywhere, also through a rebuild', async () => {
  using folder = temporaryFolder()
  const shared = ['--set', `broker=kafka://${kafka.bootstrap}`, '--set', `store=${postgres.url}`]
  const args = [...shared, '--set', `queues.echo.target=http://127.0.0.1:${port}/`]
  await using first = await up(folder.path, args)
  await using second = await up(folder.path, args)
  const submit = (url: string, n: number) =>
    fetch(`${url}/v1/queues/echo/tasks`, {
      method: 'POST',
      body: `answer ${n}`,
      headers: { prefer: 'wait=20', 'idempotency-key': `key-${n}` },
    })
  const tasks = new Map<string, string>()
  for (let n = 0; n < 12; n++) {
    const [here, there] = [n % 2 === 0 ? first.url : second.url, n % 2 === 0 ? second.url : first.url]
    const answered = await submit(here, n)
    assert.equal(answered.status, 200)
    const id = answered.headers.get('forebay-task')!
    tasks.set(id, await answered.text())
    const repeated = await submit(there, n)
    assert.deepEqual([repeated.headers.get('forebay-task'), await repeated.text()], [id, `answer ${n}`])
  }

  const rebuilt = await forebay(['store', 'rebuild', '--yes', '--json', ...shared], { cwd: folder.path })
  assert.equal(rebuilt.code, 0, rebuilt.stderr)
  assert.equal((JSON.parse(rebuilt.stdout) as { done: boolean }).done, true)
  for (const [id, expected] of tasks) {
    for (const { url } of [first, second]) {
      assert.equal(await (await fetch(`${url}/v1/tasks/${id}/result`)).text(), expected)
    }
  }
  const next = await submit(second.url, 99)
  assert.equal(await next.text(), 'answer 99', 'and they go on')
  const checked = await forebay(['store', 'check', '--json', ...shared], { cwd: folder.path })
  const { store, partitions } = JSON.parse(checked.stdout) as { store: string; partitions: readonly unknown[] }
  assert.deepEqual([store, partitions.length], ['postgres', 12])
})
