import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startKafka } from '../../scripts/rig/kafka.ts'
import { startForebay, startWorker } from '../forebay.ts'
import { orderViolations, readTasks } from '../key-order.ts'
import { openLedger } from '../ledger.ts'
import { readResults } from '../read-results.ts'
import { endingsOf, submitMany } from '../submit-many.ts'

const TASKS = 1_000

test('two `forebay up` on one Kafka share the work, and each answers its own callers', async () => {
  await using kafka = await startKafka()
  const config = { broker: `kafka://${kafka.bootstrap}`, queues: { echo: {} } }
  await using one = await startForebay({ config })
  await using two = await startForebay({ config })
  using ledger = openLedger()
  await using workerOfOne = startWorker({ server: one.grpc, queue: 'echo', ledger: ledger.path })
  await using workerOfTwo = startWorker({ server: two.grpc, queue: 'echo', ledger: ledger.path })
  await workerOfOne.line(/worker started/)
  await workerOfTwo.line(/worker started/)
  const calls = Array.from({ length: 400 }, async (_, number) => {
    const { url } = number % 2 === 0 ? one : two
    const answer = await fetch(`${url}/v1/queues/echo/tasks`, {
      method: 'POST',
      body: `call-${number}`,
      headers: { prefer: 'wait=30', 'content-type': 'text/plain' },
    })
    return { status: answer.status, body: await answer.text(), id: answer.headers.get('forebay-task') ?? '' }
  })
  const answers = await Promise.all(calls)
  for (const [number, answer] of answers.entries()) {
    assert.deepEqual({ status: answer.status, body: answer.body }, { status: 200, body: `call-${number}` })
  }
  for (const [number, answer] of answers.entries()) {
    const { url } = number % 2 === 0 ? two : one
    const read = await fetch(`${url}/v1/tasks/${answer.id}/result`)
    assert.equal(read.status, 200, 'the other gateway knows it as soon as the first has said it')
    assert.equal(await read.text(), `call-${number}`)
  }
})

test('kill -9 of gateway, dispatcher and worker while 1,000 tasks are under way: each ends once, in key order', async () => {
  await using kafka = await startKafka()
  const config = {
    broker: `kafka://${kafka.bootstrap}`,
    queues: { echo: { order: 'key', retry: { attempts: 10 } } },
  }
  await using gatewayA = await startForebay({ config, roles: ['gateway'] })
  await using gatewayB = await startForebay({ config, roles: ['gateway'] })
  await using dispatcherA = await startForebay({ config, roles: ['dispatcher'] })
  await using dispatcherB = await startForebay({ config, roles: ['dispatcher'] })
  using ledger = openLedger()
  const work = () =>
    startWorker({ server: `${dispatcherA.grpc},${dispatcherB.grpc}`, queue: 'echo', ledger: ledger.path, delayMs: 20 })
  const workOf = (server: string) => startWorker({ server, queue: 'echo', ledger: ledger.path, delayMs: 20 })
  let worker = work()
  await using workerA = workOf(dispatcherA.grpc)
  await using workerB = workOf(dispatcherB.grpc)
  await Promise.all([workerA.line(/worker started/), workerB.line(/worker started/)])
  const handingIn = submitMany({
    urls: [gatewayA.url, gatewayB.url],
    queue: 'echo',
    count: TASKS,
    keys: 100,
    tag: 'kafka',
    retryForMs: 90_000,
  })
  await ledger.untilBegun(100)
  worker.signal('SIGKILL')
  await worker.exited
  worker = work()
  await ledger.untilBegun(250)
  await gatewayA.kill9()
  await gatewayA.start()
  await ledger.untilBegun(400)
  await dispatcherB.kill9()
  const { acknowledged } = await handingIn
  await dispatcherB.start()
  assert.equal(acknowledged.length, TASKS)
  const endingsA = await endingsOf(gatewayA.url, acknowledged)
  const endingsB = await endingsOf(gatewayB.url, acknowledged)
  for (const task of acknowledged) {
    assert.deepEqual(endingsA.get(task.id), { state: 'succeeded', body: task.body })
    assert.deepEqual(endingsB.get(task.id), endingsA.get(task.id), 'both gateways tell the same end')
  }
  const results = await readResults(kafka.bootstrap)
  for (const task of acknowledged) assert.equal(results.get(task.id)?.[0]?.state, 'succeeded')
  const places = await readTasks(kafka.bootstrap, 'echo')
  assert.deepEqual(orderViolations(ledger.entries(), places), [])
  const begun = new Set(ledger.entries().map(({ taskId }) => taskId))
  for (const task of acknowledged) assert.ok(begun.has(task.id), 'no result without an attempt')
  await worker.stop()
})

test('Kafka away for 20 s under load: quick honest refusals, and everything acknowledged is kept', async () => {
  await using kafka = await startKafka()
  await using forebay = await startForebay({ config: { broker: `kafka://${kafka.bootstrap}`, queues: { echo: {} } } })
  using ledger = openLedger()
  await using worker = startWorker({ server: forebay.grpc, queue: 'echo', ledger: ledger.path })
  await worker.line(/worker started/)
  const before = await submitMany({ urls: [forebay.url], queue: 'echo', count: 500, tag: 'before' })
  assert.equal(before.acknowledged.length, 500)
  await kafka.kill()
  const awayFrom = performance.now()
  const slowest: number[] = []
  let during = 0
  while (performance.now() - awayFrom < 20_000) {
    const askedAt = performance.now()
    const { statuses } = await submitMany({ urls: [forebay.url], queue: 'echo', count: 1, tag: `during-${during++}` })
    slowest.push(performance.now() - askedAt)
    for (const status of statuses.keys()) assert.equal(status, 503)
  }
  assert.ok(Math.max(...slowest) < 15_000, `a refusal took ${Math.max(...slowest)} ms`)
  await kafka.restart()
  const after = await submitMany({ urls: [forebay.url], queue: 'echo', count: 500, tag: 'after', retryForMs: 60_000 })
  assert.equal(after.acknowledged.length, 500)
  const acknowledged = [...before.acknowledged, ...after.acknowledged]
  const endings = await endingsOf(forebay.url, acknowledged)
  for (const task of acknowledged) assert.deepEqual(endings.get(task.id), { state: 'succeeded', body: task.body })
})
