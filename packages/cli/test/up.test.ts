import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { createWorker } from '@forebay/sdk/worker'
import { forebay, temporaryFolder } from './run-forebay.ts'
import { FREE_PORTS, up } from './run-up.ts'

function withQueue(folder: string): void {
  writeFileSync(join(folder, 'forebay.yaml'), 'queues: { hello: { timeout: 30s } }\n')
}

test('a task that is submitted comes back with its worker’s answer; get tells of it; the stop is clean', async () => {
  using folder = temporaryFolder()
  withQueue(folder.path)
  await using server = await up(folder.path)
  await using _worker = createWorker({ server: server.grpc, queues: { hello: (task) => `Hello, ${task.json()}!` } })
  const env = { FOREBAY_URL: server.url }
  const answer = await forebay(['submit', 'hello', '"world"', '--wait', '10s'], { env })
  assert.deepEqual([answer.code, answer.stdout], [0, 'Hello, world!'], answer.stderr)

  const submitted = await forebay(['submit', 'hello', '-'], { env, input: '"stdin"' })
  const id = submitted.stdout.trim()
  const result = await forebay(['get', id, '--wait', '10s', '--result'], { env })
  assert.deepEqual([result.code, result.stdout], [0, 'Hello, stdin!'], result.stderr)
  const status = JSON.parse((await forebay(['get', id, '--json'], { env })).stdout) as Record<string, unknown>
  assert.deepEqual([status.id, status.state, status.queue], [id, 'succeeded', 'hello'])

  server.child.kill('SIGTERM')
  const { code, event } = await server.stopped
  assert.equal(code, 0)
  assert.deepEqual(event?.left, [])
})

test('what is not there is exit code 3, what failed is 1, and each names its code', async () => {
  using folder = temporaryFolder()
  withQueue(folder.path)
  await using server = await up(folder.path)
  await using _worker = createWorker({ server: server.grpc, queues: { hello: (task) => task.json() as string } })
  const env = { FOREBAY_URL: server.url }
  const cases = [
    [['submit', 'helo', '1'], 3, /QUEUE_NOT_FOUND/],
    [['get', 'A'.repeat(52)], 3, /TASK_NOT_FOUND/],
    [['submit', 'hello', 'not json', '--wait', '10s'], 1, /WORKER_REFUSED/],
  ] as const
  for (const [args, code, says] of cases) {
    const ended = await forebay(args, { env })
    assert.equal(ended.code, code, ended.stderr)
    assert.match(ended.stderr, says)
    assert.equal(ended.stdout, '')
  }
})

test('a second signal ends at once, and what was unfinished is answered after the next start', async () => {
  using folder = temporaryFolder()
  withQueue(folder.path)
  let id = ''
  {
    await using server = await up(folder.path)
    const taken = Promise.withResolvers<void>()
    const worker = createWorker({
      server: server.grpc,
      queues: {
        hello: (_task, { signal }) => {
          taken.resolve()
          return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
        },
      },
      onEvent: () => {},
    })
    id = (await forebay(['submit', 'hello', '1', '--url', server.url])).stdout.trim()
    await taken.promise
    server.child.kill('SIGINT')
    await server.says(/^SIGINT: taking nothing new/)
    server.child.kill('SIGINT')
    const { code } = await server.stopped
    assert.equal(code, 130)
    await worker.stop({ graceMs: 0 })
  }
  await using server = await up(folder.path)
  await using _worker = createWorker({ server: server.grpc, queues: { hello: () => 'done' } })
  const result = await forebay(['get', id, '--wait', '20s', '--result', '--url', server.url])
  assert.deepEqual([result.code, result.stdout], [0, 'done'], result.stderr)
})

test('a port that is taken is named with its owner and a free one', async () => {
  using folder = temporaryFolder()
  const holder = createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  const { port } = holder.address() as { port: number }
  try {
    for (const key of ['http.listen', 'grpc.listen', 'edge.http.listen']) {
      const args = ['up', ...FREE_PORTS, '--set', `${key}=127.0.0.1:${port}`]
      const { code, stderr } = await forebay(args, { cwd: folder.path })
      assert.equal(code, 1, stderr)
      assert.match(stderr, new RegExp(`Port ${port} is used by .*pid ${process.pid}`))
      assert.match(stderr, new RegExp(`--set ${key}=127\\.0\\.0\\.1:\\d+`))
    }
  } finally {
    holder.close()
  }
})

test('a second process on the same folder is refused, and `queues` says who has it', async () => {
  using folder = temporaryFolder()
  withQueue(folder.path)
  await using server = await up(folder.path)
  const second = await forebay(['up', ...FREE_PORTS], { cwd: folder.path })
  assert.equal(second.code, 1)
  assert.match(second.stderr, /DATA_IN_USE/)
  const asked = await forebay(['queues'], { cwd: folder.path })
  assert.equal(asked.code, 1)
  assert.match(asked.stderr, /\/metrics/)

  server.child.kill('SIGTERM')
  await server.stopped
  const { code, stdout } = await forebay(['queues', '--json'], { cwd: folder.path })
  assert.equal(code, 0)
  assert.deepEqual(JSON.parse(stdout), {
    queue: 'hello',
    topic: 'forebay.tasks.hello',
    partitions: 12,
    kept: 0,
    waiting: 0,
  })
})

test('Kafka that is not there is exit code 5, and the address is named', async () => {
  using folder = temporaryFolder()
  mkdirSync(join(folder.path, 'empty'))
  const args = ['up', ...FREE_PORTS, '--set', 'broker=kafka://127.0.0.1:1']
  const { code, stderr } = await forebay(args, { cwd: folder.path })
  assert.equal(code, 5, stderr)
  assert.match(stderr, /127\.0\.0\.1:1\b/)
})
