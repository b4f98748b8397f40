import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { createClient, RequestError, TaskFailedError } from '@forebay/sdk/client'
import { AttemptAborted, createWorker } from '@forebay/sdk/worker'
import { forebay, temporaryFolder } from './run-forebay.ts'
import { up } from './run-up.ts'

/** All parts are real: the command, its gateway, dispatcher and recorder, a worker, a client. */

test('a task that waits is cancelled by the command, twice the same; one that is done is not', async () => {
  using folder = temporaryFolder()
  writeFileSync(join(folder.path, 'forebay.yaml'), 'queues: { hello: {} }\n')
  await using server = await up(folder.path)
  const env = { FOREBAY_URL: server.url }
  const id = (await forebay(['submit', 'hello', '1'], { env })).stdout.trim()
  const cancelled = await forebay(['cancel', id], { env })
  assert.equal(cancelled.code, 0, cancelled.stderr)
  assert.match(cancelled.stdout, /^state {5}cancelled$/m)
  assert.deepEqual(await forebay(['cancel', id], { env }), cancelled)
  const status = JSON.parse((await forebay(['get', id, '--json'], { env })).stdout) as { state: string }
  assert.equal(status.state, 'cancelled')

  const worked: unknown[] = []
  await using _worker = createWorker({ server: server.grpc, queues: { hello: (task) => worked.push(task.json()) } })
  const client = createClient({ url: server.url })
  const done = await client.submit('hello', 2)
  await done.result()
  const late = await forebay(['cancel', done.id], { env })
  assert.equal(late.code, 1)
  assert.match(late.stderr, /TASK_ENDED.*succeeded/)
  assert.deepEqual(worked, [2], 'the cancelled task was never handed out')
  assert.equal((await forebay(['cancel', 'A'.repeat(52)], { env })).code, 3)
})

test('a running handler is called off with the reason, and whoever waits is told', async () => {
  using folder = temporaryFolder()
  writeFileSync(join(folder.path, 'forebay.yaml'), 'queues: { hello: {} }\n')
  await using server = await up(folder.path)
  const taken = Promise.withResolvers<void>()
  const aborted = Promise.withResolvers<unknown>()
  await using _worker = createWorker({
    server: server.grpc,
    queues: {
      hello: (_task, { signal }) => {
        taken.resolve()
        return new Promise((_, reject) =>
          signal.addEventListener('abort', () => {
            aborted.resolve(signal.reason)
            reject(signal.reason)
          }),
        )
      },
    },
    onEvent: () => {},
  })
  const task = await createClient({ url: server.url }).submit('hello', 1)
  const waiting = task.result({ within: '30s' }).catch((thrown: unknown) => thrown)
  await taken.promise
  const { state } = await task.cancel()
  assert.equal(state, 'cancelled')
  const failed = await waiting
  assert.ok(failed instanceof TaskFailedError)
  assert.deepEqual([failed.state, failed.code], ['cancelled', 'TASK_CANCELLED'])
  const reason = await aborted.promise
  assert.ok(reason instanceof AttemptAborted)
  assert.equal(reason.why, 'cancelled')
  await assert.rejects(createClient({ url: server.url }).task('x').cancel(), (thrown: unknown) => {
    return thrown instanceof RequestError && thrown.code === 'TASK_NOT_FOUND'
  })
})
