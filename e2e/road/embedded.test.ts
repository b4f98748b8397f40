import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startForebay, startWorker } from '../forebay.ts'
import { openLedger } from '../ledger.ts'
import { endingOf, endingsOf, submitMany } from '../submit-many.ts'

const TASKS = 1_000

test('one request goes to a worker and its answer comes back in the same response', async () => {
  await using forebay = await startForebay({ config: { queues: { echo: {} } } })
  using ledger = openLedger()
  await using worker = startWorker({ server: forebay.grpc, queue: 'echo', ledger: ledger.path })
  await worker.line(/worker started/)
  const body = Buffer.from([0, 1, 2, 253, 254, 255])
  const answer = await fetch(`${forebay.url}/v1/queues/echo/tasks`, {
    method: 'POST',
    body,
    headers: { prefer: 'wait=10', 'content-type': 'application/x-thing' },
  })
  assert.equal(answer.status, 200)
  assert.equal(answer.headers.get('content-type'), 'application/x-thing')
  assert.deepEqual(Buffer.from(await answer.arrayBuffer()), body)
  const id = answer.headers.get('forebay-task')
  assert.ok(id)
  const again = await fetch(`${forebay.url}/v1/tasks/${id}/result`)
  assert.equal(again.status, 200, 'a later reader sees what the first one saw')
  assert.deepEqual(Buffer.from(await again.arrayBuffer()), body)
})

test('kill -9 of the server and of the worker while 1,000 tasks are under way: each ends once, with its own answer', async () => {
  await using forebay = await startForebay({
    config: { queues: { echo: { order: 'key', retry: { attempts: 10 } } } },
  })
  using ledger = openLedger()
  let worker = startWorker({ server: forebay.grpc, queue: 'echo', ledger: ledger.path, delayMs: 20 })
  const handingIn = submitMany({
    urls: [forebay.url],
    queue: 'echo',
    count: TASKS,
    keys: 200,
    tag: 'embedded',
    retryForMs: 60_000,
  })
  await ledger.untilBegun(150)
  worker.signal('SIGKILL')
  await worker.exited
  worker = startWorker({ server: forebay.grpc, queue: 'echo', ledger: ledger.path, delayMs: 20 })
  await ledger.untilBegun(400)
  await forebay.kill9()
  await forebay.start()
  const { acknowledged } = await handingIn
  assert.equal(acknowledged.length, TASKS)
  const endings = await endingsOf(forebay.url, acknowledged)
  for (const task of acknowledged) assert.deepEqual(endings.get(task.id), { state: 'succeeded', body: task.body })
  await forebay.kill9()
  await forebay.start()
  for (const task of acknowledged.slice(0, 50)) {
    assert.deepEqual(await endingOf(forebay.url, task.id), endings.get(task.id), 'the same answer after another crash')
  }
  await worker.stop()
})

test('SIGTERM under load: what was acknowledged is done after the next start, the exit code is 0', async () => {
  await using forebay = await startForebay({ config: { queues: { echo: {} }, stopGrace: '5s' } })
  using ledger = openLedger()
  await using worker = startWorker({ server: forebay.grpc, queue: 'echo', ledger: ledger.path, delayMs: 5 })
  await worker.line(/worker started/)
  const handingIn = submitMany({ urls: [forebay.url], queue: 'echo', count: 600, tag: 'stop', retryForMs: 60_000 })
  await ledger.untilBegun(100)
  const { code, output } = await forebay.stop()
  assert.equal(code, 0, output)
  await forebay.start()
  const { acknowledged } = await handingIn
  assert.equal(acknowledged.length, 600)
  const endings = await endingsOf(forebay.url, acknowledged)
  for (const task of acknowledged) assert.deepEqual(endings.get(task.id), { state: 'succeeded', body: task.body })
})
