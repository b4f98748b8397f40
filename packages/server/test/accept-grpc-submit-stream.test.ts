import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import type { Broker } from '@forebay/broker'
import { type ServiceError, status } from '@grpc/grpc-js'
import { SUBMITS_AT_ONCE_MAX } from '../src/accept/grpc-submit-stream.ts'
import { accessKeys, type DoorsRig, openDoorsRig, queueOptions } from './support/doors-rig.ts'
import { SkipClock } from './support/skip-clock.ts'
import { serveTasks, type TaskServer } from './support/task-client.ts'

const payload = Buffer.from('1')
const submit = { queue: 'orders', payload }

test('each request is answered by its sequence, whatever the order, and half-closing ends the stream with OK', async (t) => {
  const { rig, tasks } = await open(t)
  const stream = tasks.tasks.submitStream()
  for (let sequence = 1n; sequence <= 1_000n; sequence++) {
    if (!stream.send({ sequence, submit })) await once(stream.stream, 'drain')
  }
  stream.stream.end()
  assert.equal(await stream.ended, null)
  assert.equal(new Set(stream.got.map(({ sequence }) => sequence)).size, 1_000)
  const ids = new Set(stream.got.map(({ answer }) => (answer.case === 'submitted' ? answer.value.task!.id : '')))
  assert.equal(ids.size, 1_000)
  assert.equal(ids.has(''), false)
  assert.equal(await rig.kept('orders'), 1_000)
})

test('a request that is refused is answered with its problem and does not end the stream', async (t) => {
  const { rig, tasks } = await open(t)
  const stream = tasks.tasks.submitStream()
  stream.send({ sequence: 1n, submit: { ...submit, queue: 'ordres' } })
  stream.send({ sequence: 2n, submit: { ...submit, wait: { seconds: 1n } } })
  stream.send({ sequence: 3n })
  stream.send({ sequence: 4n, submit: { ...submit, payload: new Uint8Array(20_000) } })
  stream.send({ sequence: 5n, submit })
  stream.stream.end()
  assert.equal(await stream.ended, null)
  const codes = stream.got.map(({ sequence, answer }) => [
    sequence,
    answer.case === 'problem' ? [answer.value.code, answer.value.retryable] : answer.case,
  ])
  assert.deepEqual(codes.sort(), [
    [1n, ['QUEUE_NOT_FOUND', false]],
    [2n, ['BAD_REQUEST', false]],
    [3n, ['BAD_REQUEST', false]],
    [4n, ['TASK_TOO_LARGE', false]],
    [5n, 'submitted'],
  ])
  assert.equal(await rig.kept('orders'), 1)
})

test('what the log does not say is told with the id of the task, so that it can be asked for', async (t) => {
  const { tasks } = await open(t, (broker) =>
    publishingBy(broker, () => Promise.reject(new Error('the log went silent'))),
  )
  const stream = tasks.tasks.submitStream()
  stream.send({ sequence: 9n, submit })
  const [{ sequence, answer }] = (await stream.first(1)) as [(typeof stream.got)[number]]
  assert.equal(sequence, 9n)
  assert.ok(answer.case === 'problem')
  assert.equal(answer.value.code, 'OUTCOME_UNKNOWN')
  assert.equal(answer.value.retryable, true)
  assert.match(answer.value.task, /^[\w.-]{20,}$/)
  stream.stream.end()
  assert.equal(await stream.ended, null)
})

test('no more than the bound is on its way into the log, however much the caller sends', async (t) => {
  const log = new HeldLog()
  const { tasks } = await open(t, (broker) => log.holding(broker))
  const stream = tasks.tasks.submitStream()
  for (let sequence = 1n; sequence <= 2_000n; sequence++) stream.send({ sequence, submit })
  stream.stream.end()
  await log.untilHeld(SUBMITS_AT_ONCE_MAX)
  await quiet(() => log.held)
  assert.equal(log.held, SUBMITS_AT_ONCE_MAX)
  log.release()
  assert.equal(await stream.ended, null)
  assert.equal(stream.got.length, 2_000)
})

test('a caller who does not read its answers is not read either, and cut off after a while', async (t) => {
  const { rig, tasks, clock } = await open(t)
  const stream = tasks.tasks.submitStream()
  stream.stream.pause()
  const sent = 20_000
  let sequence = 0n
  const pump = () => {
    while (sequence < sent && stream.send({ sequence: ++sequence, submit }));
    if (sequence < sent) stream.stream.once('drain', pump)
  }
  pump()
  while ((await rig.kept('orders')) < 100) await new Promise((resolve) => setTimeout(resolve, 5))
  await quiet(() => rig.kept('orders'))
  const kept = await rig.kept('orders')
  assert.ok(kept < 5_000, `${kept} were kept for a caller who read none of the answers`)
  clock.skip(30_000)
  stream.stream.resume()
  assert.equal((await stream.ended)?.code, status.CANCELLED)
})

test('a stop answers what is on its way and ends the stream with STOPPING', async (t) => {
  const log = new HeldLog()
  const { rig, tasks } = await open(t, (broker) => log.holding(broker))
  const stream = tasks.tasks.submitStream()
  for (let sequence = 1n; sequence <= 3n; sequence++) stream.send({ sequence, submit })
  await log.untilHeld(3)
  rig.doors.grpc.stop()
  stream.send({ sequence: 4n, submit })
  log.release()
  stoppedWell(await stream.ended)
  assert.deepEqual(stream.got.map(({ sequence, answer }) => [sequence, answer.case]).sort(), [
    [1n, 'submitted'],
    [2n, 'submitted'],
    [3n, 'submitted'],
  ])
  stoppedWell(await tasks.tasks.submitStream().ended)
})

test('strangers are turned away before anything is read', async (t) => {
  const { rig, tasks } = await open(t)
  const stream = tasks.tasks.submitStream({ key: 'wrong' })
  stream.send({ sequence: 1n, submit })
  assert.equal((await stream.ended)!.code, status.UNAUTHENTICATED)
  assert.equal(await rig.kept('orders'), 0)
})

function stoppedWell(error: ServiceError | null): void {
  assert.equal(error?.code, status.UNAVAILABLE)
  assert.deepEqual(error.metadata.get('forebay-error'), ['STOPPING'])
}

interface Opened {
  readonly clock: SkipClock
  readonly rig: DoorsRig
  readonly tasks: TaskServer
}

async function open(t: TestContext, wrapBroker?: (broker: Broker) => Broker): Promise<Opened> {
  const clock = new SkipClock()
  const rig = await openDoorsRig({
    clock,
    auth: accessKeys({ ann: 'a' }),
    queues: [queueOptions('orders', { partitions: 1, bodyBytesMax: 10_000 })],
    ...(wrapBroker === undefined ? {} : { wrapBroker }),
  })
  const tasks = await serveTasks(rig.doors.grpc)
  t.after(async () => {
    tasks.close()
    await rig.stop()
  })
  return { clock, rig, tasks }
}

/** Holds publishes back until they are released. */
class HeldLog {
  held = 0
  #release: () => void = () => {}
  readonly #released = new Promise<void>((resolve) => {
    this.#release = resolve
  })

  holding(broker: Broker): Broker {
    return publishingBy(broker, async (records) => {
      this.held++
      await this.#released
      return broker.publish(records)
    })
  }

  async untilHeld(count: number): Promise<void> {
    while (this.held < count) await new Promise((resolve) => setTimeout(resolve, 2))
  }

  release(): void {
    this.#release()
  }
}

function publishingBy(broker: Broker, publish: Broker['publish']): Broker {
  return {
    capabilities: broker.capabilities,
    open: (request) => broker.open(request),
    publish,
    consume: (request) => broker.consume(request),
    listen: (request) => broker.listen(request),
    inspect: (request) => broker.inspect(request),
    close: () => broker.close(),
  }
}

/** Until a figure has not changed for a while: there is nothing to wait for where nothing is to happen. */
async function quiet(figure: () => number | Promise<number>): Promise<void> {
  for (let last = -1, now = await figure(); now !== last; ) {
    last = now
    await new Promise((resolve) => setTimeout(resolve, 300))
    now = await figure()
  }
}
