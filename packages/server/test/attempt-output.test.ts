import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Broker, type Clock, PublishError, systemClock, systemRandom, type Timer } from '@forebay/broker'
import { AttemptOutput } from '../src/finish/attempt-output.ts'
import { decodeReported, resultRecord } from '../src/records.ts'
import { countsAfter, type Output, type OutputHead, PROGRESS_EVERY_MS } from '../src/task.ts'
import { RESULTS_TOPIC } from '../src/topics.ts'
import { attemptOf, NEVER } from './execute-fixtures.ts'
import { impatient, openLog, quietTelemetry, result } from './support/results-rig.ts'

const LANE = 1

test('chunks are on the lane in order, before the result, each with its place in the run', async (t) => {
  const broker = await openLog(t)
  const output = outputOn(broker)
  const kept = ['one', 'two', 'three'].map((text) => output.chunk(Buffer.from(text), 'text/plain'))
  await output.end()
  await broker.publish([resultRecord(result('task-1', 'done'), LANE)])
  assert.deepEqual(await Promise.all(kept), [true, true, true])
  const said = await lane(broker, 4)
  assert.equal(said[3], 'result')
  const outputs = outputsOf(said)
  assert.deepEqual(outputs.map(shown), ['1 one', '2 two', '3 three'])
  assert.deepEqual(
    outputs.map(({ first }) => first),
    [true, false, false],
  )
  assert.equal(new Set(outputs.map(({ run }) => run)).size, 1)
  const { taskId, queue, owner, attempts, generation } = outputs[0]!
  assert.deepEqual([taskId, queue, owner, attempts, generation], ['task-1', 'thumbnails', 'anonymous', 2, 0])
})

test('a publish that fails half way is repeated from what failed first; who reads has each chunk once, in order', async (t) => {
  const log = await openLog(t)
  const script = [
    // The first chunk goes alone; then the four that came meanwhile go together.
    [],
    [1, 3],
    // Again the last three, of which one more is lost, and then all that is left.
    [0],
  ]
  const broker = failing(log, () => script.shift() ?? [])
  const output = outputOn(broker)
  const kept = ['a', 'b', 'c', 'd', 'e'].map((text) => output.chunk(Buffer.from(text), 'text/plain'))
  assert.deepEqual(await Promise.all(kept), [true, true, true, true, true])
  assert.equal(script.length, 0)
  const outputs = outputsOf(await lane(log, 1 + 2 + 2 + 3))
  assert.deepEqual(outputs.map(shown), ['1 a', '2 b', '4 d', '4 d', '5 e', '3 c', '4 d', '5 e'])
  assert.deepEqual(counted(outputs).map(shown), ['1 a', '2 b', '3 c', '4 d', '5 e'])
})

test('a publish that was kept and seemed to fail doubles nothing, the first of a run neither', async (t) => {
  const log = await openLog(t)
  let failures = 2
  const broker: Publisher = {
    async publish(records) {
      const positions = await log.publish(records)
      if (failures-- > 0) throw new Error('the answer was lost')
      return positions
    },
  }
  const output = outputOn(broker)
  output.progress(0, 'begins')
  const kept = ['a', 'b'].map((text) => output.chunk(Buffer.from(text), 'text/plain'))
  assert.deepEqual(await Promise.all(kept), [true, true])
  const outputs = outputsOf(await lane(log, 5))
  assert.deepEqual(outputs.map(shown), ['0 begins', '0 begins', '0 begins', '1 a', '2 b'])
  assert.deepEqual(
    counted(outputs)
      .filter(({ content }) => content.kind === 'chunk')
      .map(shown),
    ['1 a', '2 b'],
  )
})

test('another run of the task replaces what the first said, and what the first says later is void', async (t) => {
  const broker = await openLog(t)
  const zombie = outputOn(broker)
  await zombie.chunk(Buffer.from('old'), 'text/plain')
  const owner = outputOn(broker)
  await owner.chunk(Buffer.from('new'), 'text/plain')
  await zombie.chunk(Buffer.from('older still'), 'text/plain')
  await owner.chunk(Buffer.from('newer'), 'text/plain')
  const outputs = outputsOf(await lane(broker, 4))
  assert.deepEqual(counted(outputs).map(shown), ['1 old', '1 new', '2 newer'])
})

test('of progress in a short time the last is told, and after the end none', async (t) => {
  const broker = await openLog(t)
  const clock = new TimersByHand()
  const output = outputOn(broker, { clock })
  for (const fraction of [0.1, 0.2, 0.3]) output.progress(fraction, `at ${fraction}`)
  assert.equal(clock.waiting.length, 1)
  assert.ok(clock.waiting[0]!.delayMs <= PROGRESS_EVERY_MS)
  clock.ring()
  output.progress(null, 'never told')
  await output.end()
  assert.equal(clock.waiting.length, 0)
  output.progress(1, 'too late')
  assert.equal(await output.chunk(Buffer.from('too late'), 'text/plain'), false)
  await broker.publish([resultRecord(result('task-1', 'done'), LANE)])
  const said = await lane(broker, 3)
  assert.deepEqual(outputsOf(said).map(shown), ['0 at 0.1', '0 at 0.3'])
})

test('what is not durable when the assignment is lost no longer matters, and the end does not wait for it', async (t) => {
  const broker = await openLog(t)
  await broker.close()
  const lost = new AbortController()
  const output = outputOn(broker, { lost: lost.signal })
  const kept = output.chunk(Buffer.from('a'), 'text/plain')
  const ended = output.end()
  const early = await Promise.race([kept, ended, systemClock.sleep(100).then(() => 'not yet')])
  assert.equal(early, 'not yet')
  lost.abort()
  assert.equal(await kept, false)
  await ended
  assert.equal(await output.chunk(Buffer.from('b'), 'text/plain'), false)
})

test('an attempt that says nothing publishes nothing and has nothing to wait for', async (t) => {
  const broker = await openLog(t)
  assert.equal(outputOn(broker).end(), null)
  const [state] = await broker.inspect({ topics: [RESULTS_TOPIC] })
  assert.equal(state?.end, 0)
})

function outputOn(broker: Publisher, over: { clock?: Clock; lost?: AbortSignal } = {}): AttemptOutput {
  const { clock = systemClock, lost = NEVER } = over
  const random = { ...systemRandom, unit: impatient.unit }
  const parts = { broker, clock, random, log: quietTelemetry().log, closed: NEVER }
  return new AttemptOutput(parts, { ...attemptOf().task, lane: LANE }, 2, lost)
}

type Publisher = Pick<Broker, 'publish'>

/** Of each publish the records with these indexes are not kept. */
function failing(log: Broker, lostOf: () => readonly number[]): Publisher {
  return {
    async publish(records) {
      const lost = lostOf()
      const positions = await log.publish(records.filter((_, index) => !lost.includes(index)))
      if (lost.length === 0) return positions
      const failed = lost.map((index) => ({ index, outcome: 'unknown', cause: null }) as const)
      throw new PublishError('These were not kept.', failed)
    },
  }
}

/** The first `count` records of the lane. */
async function lane(broker: Broker, count: number): Promise<(Output | 'result')[]> {
  const listener = await broker.listen({ topic: RESULTS_TOPIC, partition: LANE, from: 'earliest' })
  const said: (Output | 'result')[] = []
  for await (const records of listener) {
    for (const record of records) {
      const reported = decodeReported(record)
      said.push(reported?.kind === 'output' ? reported.output : 'result')
    }
    if (said.length >= count) break
  }
  await listener.close()
  assert.equal(said.length, count)
  return said
}

function outputsOf(said: readonly (Output | 'result')[]): Output[] {
  return said.filter((one) => one !== 'result')
}

function counted(outputs: readonly Output[]): Output[] {
  let head: OutputHead | null = null
  return outputs.filter((output) => {
    if (!countsAfter(head, output)) return false
    head = { run: output.run, chunks: output.chunks }
    return true
  })
}

function shown({ chunks, content }: Output): string {
  return `${chunks} ${content.kind === 'chunk' ? Buffer.from(content.payload).toString() : content.message}`
}

/** Real time, but timers go off when the test says so. */
class TimersByHand implements Clock {
  readonly wallMs = systemClock.wallMs
  readonly monotonicMs = systemClock.monotonicMs
  readonly sleep = systemClock.sleep
  waiting: { delayMs: number; callback: () => void }[] = []

  timer(delayMs: number, callback: () => void): Timer {
    const timer = { delayMs, callback }
    this.waiting.push(timer)
    return {
      cancel: () => {
        this.waiting = this.waiting.filter((one) => one !== timer)
      },
    }
  }

  ring(): void {
    for (const { callback } of this.waiting.splice(0)) callback()
  }
}
