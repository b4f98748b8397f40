import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { systemRandom } from '@forebay/broker'
import { embeddedBroker } from '@forebay/broker/embedded'
import { pino } from 'pino'
import { DEAD_LETTERS_BURST, DEAD_LETTERS_PER_S, FloodLimit } from '../src/dead/flood-limit.ts'
import { createFinisher } from '../src/finish/finisher.ts'
import { ManualClock } from '../src/store/contract/manual-clock.ts'
import type { Result } from '../src/task.ts'
import { createMetrics } from '../src/telemetry.ts'
import { deadTopic, RESULTS_TOPIC, taskTopic } from '../src/topics.ts'

const TOPIC = taskTopic('q')
const FAULT = { code: 'WORKER_FAILED', detail: 'boom' } as const

test('a burst passes at once, then so many a second, each queue by itself', () => {
  const clock = new ManualClock()
  const flood = new FloodLimit(clock)
  for (let count = 0; count < DEAD_LETTERS_BURST; count++) assert.equal(flood.takeTurn('a'), 0)
  const waits = Array.from({ length: DEAD_LETTERS_PER_S }, () => flood.takeTurn('a'))
  assert.ok(waits[0]! > 0 && Math.abs(waits.at(-1)! - 1_000) < 1)
  assert.equal(flood.takeTurn('b'), 0)
  clock.advance(60_000)
  assert.equal(flood.takeTurn('a'), 0, 'a quiet time fills it up again')
})

test('beyond the limit the end of a task waits unpublished; it goes when its turn comes, or stays with the log', async () => {
  await using rig = await openRig()
  const lost = new AbortController()
  for (let count = 0; count < DEAD_LETTERS_BURST; count++) {
    assert.equal(await rig.die(`t${count}`, lost.signal), true)
  }
  const late = rig.die('late', lost.signal)
  assert.equal(await rig.waiting(), 1)
  const succeeded = await rig.succeed('fine', lost.signal)
  assert.equal(succeeded, true, 'what ends well waits for nobody')
  assert.equal(await rig.letters(), DEAD_LETTERS_BURST)
  rig.clock.advance(1_000 / DEAD_LETTERS_PER_S)
  assert.equal(await late, true)
  assert.equal(await rig.letters(), DEAD_LETTERS_BURST + 1)
  assert.equal(await rig.waiting(), 0)

  const leaving = rig.die('leaving', lost.signal)
  lost.abort()
  assert.equal(await leaving, false, 'the next owner will end it')
  const closing = rig.die('closing', new AbortController().signal)
  rig.finisher.close()
  assert.equal(await closing, false)
  assert.equal(await rig.letters(), DEAD_LETTERS_BURST + 1)
})

async function openRig() {
  const dir = await mkdtemp(join(tmpdir(), 'forebay-flood-'))
  const broker = embeddedBroker({ dir })
  const topics = [TOPIC, deadTopic(TOPIC), RESULTS_TOPIC]
  await broker.open({ topics: topics.map((name) => ({ name, partitions: 1, retentionMs: 'forever' })) })
  const clock = new ManualClock()
  const metrics = createMetrics()
  const finisher = createFinisher({ broker, clock, random: systemRandom, log: pino({ level: 'silent' }), metrics })
  const end = (taskId: string, result: Result['end'], lost: AbortSignal) => {
    const record = { topic: TOPIC, partition: 0, offset: 0, timestampMs: 0, key: null, value: null, headers: [] }
    const about = { taskId, queue: 'q', attempts: 1, generation: 0 }
    const letter = result.state === 'dead' ? { ...about, record, state: result.state, fault: FAULT, atMs: 0 } : null
    return finisher.finish(
      { ...about, owner: 'o', finishedAtMs: 0, end: result },
      { lane: 0, key: null, headers: [] },
      letter,
      lost,
    )
  }
  return {
    clock,
    finisher,
    die: (taskId: string, lost: AbortSignal) => end(taskId, { state: 'dead', fault: FAULT }, lost),
    succeed: (taskId: string, lost: AbortSignal) =>
      end(taskId, { state: 'succeeded', payload: Buffer.from('x'), contentType: 'a/b' }, lost),
    async letters() {
      const [state] = await broker.inspect({ topics: [deadTopic(TOPIC)] })
      return state!.end
    },
    async waiting() {
      const { values } = await metrics.deadLettersWaiting.get()
      return values.find(({ labels }) => labels.queue === 'q')?.value ?? 0
    },
    async [Symbol.asyncDispose]() {
      await broker.close()
      await rm(dir, { recursive: true })
    },
  }
}
