import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { TaskState } from '@forebay/protocol'
import { type ServiceError, status } from '@grpc/grpc-js'
import { outputRecord } from '../src/records.ts'
import type { Output } from '../src/task.ts'
import { accessKeys, type DoorsRig, openDoorsRig, queueOptions } from './support/doors-rig.ts'
import { SkipClock } from './support/skip-clock.ts'
import { serveTasks, type TaskServer } from './support/task-client.ts'

let rig: DoorsRig
let tasks: TaskServer
const clock = new SkipClock()
before(async () => {
  rig = await openDoorsRig({
    auth: accessKeys({ ann: 'a', bob: 'b' }),
    http: { watchersMax: 3 },
    queues: [queueOptions('orders', { partitions: 1 })],
    clock,
  })
  tasks = await serveTasks(rig.doors.grpc)
})
after(async () => {
  tasks.close()
  await rig.stop()
})

const done = { state: 'succeeded', payload: Buffer.from('done'), contentType: 'text/plain' } as const

test('a watch tells how the task stands, what it says as it says it, and its result', async () => {
  const id = await submitted()
  const watching = tasks.tasks.watch({ id })
  await watching.first(1)
  await say(id, [chunk('Hel', 1), progress(0.5, 'half', 1), chunk('lo', 2)])
  await watching.first(4)
  await rig.end(id, done, { owner: 'ann' })
  assert.equal(await watching.ended, null)
  const said = [`task ${TaskState.PENDING}`, 'chunk 1 Hel', 'progress 0.5 half', 'chunk 2 lo', 'end']
  assert.deepEqual(watching.said, said)
  const { event, position } = watching.got.at(-1)!
  assert.ok(event.case === 'end')
  assert.equal(event.value.task!.state, TaskState.SUCCEEDED)
  assert.deepEqual(event.value.result, (await tasks.tasks.get({ id })).result)
  assert.equal(position, 'end-0')
  const offsets = watching.got.slice(1, -1).map((one) => Number(one.position))
  assert.deepEqual(
    offsets,
    [...offsets].sort((one, other) => one - other),
  )
})

test('a stream that breaks is resumed where it was: nothing twice, nothing missing', async () => {
  const id = await submitted()
  await say(id, [chunk('a', 1), chunk('b', 2), chunk('c', 3)])
  const all = tasks.tasks.watch({ id })
  await all.first(4)
  const { position } = all.got.find(({ event }) => event.case === 'chunk' && event.value.number === 2)!
  all.stream.cancel()
  assert.equal((await all.ended)?.code, status.CANCELLED)
  const rest = tasks.tasks.watch({ id, after: position })
  await rest.first(2)
  await say(id, [chunk('d', 4)])
  await rig.end(id, done, { owner: 'ann' })
  assert.equal(await rest.ended, null)
  assert.deepEqual(rest.said, [`task ${TaskState.PENDING}`, 'chunk 3 c', 'chunk 4 d', 'end'])
  const over = tasks.tasks.watch({ id, after: rest.got.at(-1)!.position })
  assert.equal(await over.ended, null)
  assert.deepEqual(over.said, [])
})

test('another attempt that begins to speak makes void what was said', async () => {
  const id = await submitted()
  const watching = tasks.tasks.watch({ id })
  await watching.first(1)
  await say(id, [chunk('old', 1)])
  await say(id, [{ ...chunk('new', 1), attempts: 2, run: 'f'.repeat(16) }])
  await rig.end(id, done, { owner: 'ann', attempts: 2 })
  assert.equal(await watching.ended, null)
  assert.deepEqual(watching.said, [`task ${TaskState.PENDING}`, 'chunk 1 old', 'restart', 'chunk 1 new', 'end'])
})

test('the caller sees its stream open before there is anything to say, and heartbeats while there is nothing', async () => {
  const id = await submitted()
  const watching = tasks.tasks.watch({ id }, { withinMs: 600_000 })
  await new Promise((resolve) => watching.stream.once('metadata', resolve))
  await watching.first(1)
  while (watching.got.length < 3) {
    clock.skip(20_000)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  assert.deepEqual(
    watching.got.slice(0, 3).map(({ event, position }) => [event.case, position]),
    [
      ['task', ''],
      ['heartbeat', ''],
      ['heartbeat', ''],
    ],
  )
  watching.stream.cancel()
  await watching.ended
  await watched(0)
})

test('a caller who does not read is given a little, held for a while and then cut off', async () => {
  const id = await submitted()
  const watching = tasks.tasks.watch({ id })
  await watching.first(1)
  watching.stream.pause()
  const large = 'x'.repeat(100_000)
  await say(
    id,
    Array.from({ length: 60 }, (_, index) => chunk(large, index + 1)),
  )
  await rig.end(id, done, { owner: 'ann' })
  while ((await tasks.tasks.get({ id, wait: { seconds: 5n } })).result === undefined);
  assert.equal(await watchers(), 1)
  // The client reads ahead a little even so; whenever it has stopped, the next half minute is the last.
  while ((await watchers()) > 0) {
    clock.skip(30_000)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  watching.stream.resume()
  assert.equal((await watching.ended)?.code, status.CANCELLED)
  assert.ok(watching.got.length < 40, `${watching.got.length} came through`)
})

test('only the owner watches; nonsense positions are refused; so is more than may be watched at once', async () => {
  const id = await submitted()
  assert.equal(codeOf(await tasks.tasks.watch({ id }, { key: 'b' }).ended), 'TASK_NOT_FOUND')
  assert.equal(codeOf(await tasks.tasks.watch({ id: 'nothing' }).ended), 'TASK_NOT_FOUND')
  assert.equal(codeOf(await tasks.tasks.watch({ id }, { key: '' }).ended), 'UNAUTHENTICATED')
  assert.equal(codeOf(await tasks.tasks.watch({ id, after: 'here' }).ended), 'BAD_REQUEST')
  const open = [1, 2, 3].map(() => tasks.tasks.watch({ id }))
  await Promise.all(open.map((one) => one.first(1)))
  const refused = await tasks.tasks.watch({ id }).ended
  assert.equal(refused?.code, status.RESOURCE_EXHAUSTED)
  assert.equal(codeOf(refused), 'OVERLOADED')
  for (const one of open) one.stream.cancel()
  await watched(0)
})

test('a stop ends every watch with STOPPING, so that it is resumed elsewhere', async () => {
  const id = await submitted()
  const watching = tasks.tasks.watch({ id })
  await watching.first(1)
  rig.doors.grpc.stop()
  const error = await watching.ended
  assert.equal(error?.code, status.UNAVAILABLE)
  assert.equal(codeOf(error), 'STOPPING')
  assert.equal(codeOf(await tasks.tasks.watch({ id }).ended), 'STOPPING')
})

async function submitted(): Promise<string> {
  const { task } = await tasks.tasks.submit({ queue: 'orders', payload: Buffer.from('1') })
  return task!.id
}

type Said = Pick<Output, 'chunks' | 'content'> & Partial<Output>

function chunk(text: string, number: number): Said {
  return { chunks: number, content: { kind: 'chunk', payload: Buffer.from(text), contentType: 'text/plain' } }
}

function progress(fraction: number, message: string, chunks: number): Said {
  return { chunks, content: { kind: 'progress', fraction, message } }
}

/** As the dispatcher publishes what an attempt says. */
async function say(taskId: string, outputs: readonly Said[]): Promise<void> {
  const common = { taskId, queue: 'orders', owner: 'ann', attempts: 1, generation: 0, run: '0'.repeat(16) }
  await rig.broker.publish(
    outputs.map((output) => {
      const first = output.chunks === 1 && output.content.kind === 'chunk'
      return outputRecord({ ...common, first, atMs: Date.now(), ...output }, rig.replies.lane)
    }),
  )
}

async function watchers(): Promise<number> {
  return (await rig.telemetry.metrics.watchers.get()).values[0]!.value
}

async function watched(count: number): Promise<void> {
  while ((await watchers()) !== count) await new Promise((resolve) => setTimeout(resolve, 5))
}

function codeOf(error: ServiceError | null): unknown {
  return error?.metadata.get('forebay-error')[0]
}
