import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Broker } from '@forebay/broker'
import fc from 'fast-check'
import type { Recorder } from '../src/finish/recorder.ts'
import { createReplies } from '../src/reply/log-replies.ts'
import { ManualClock } from '../src/store/contract/manual-clock.ts'
import type { Store } from '../src/store/store.ts'
import type { Result } from '../src/task.ts'
import { RESULTS_TOPIC } from '../src/topics.ts'
import { bodyOf, idOf, quietTelemetry, result } from './support/results-rig.ts'

/**
 * The scheduler plays the ports: every look into the store, every question to the log and every step of the recorder
 * happens at a moment of its choosing. The clock stands still, so who misses its wake-up waits for ever.
 */
test('whatever the order, every waiter is told the first result and every place gets free', async () => {
  const reader = fc.record({ wait: fc.boolean(), expects: fc.boolean() })
  const plan = fc.record({
    readers: fc.array(reader, { minLength: 1, maxLength: 6 }),
    results: fc.integer({ min: 1, max: 3 }),
  })
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), plan, async (scheduler, { readers, results }) => {
      const world = new World(scheduler)
      const { replies } = world
      const answers: (string | null)[] = []
      const expectations = readers.map(({ expects }) => (expects ? replies.expect('t') : null))
      const asked = readers.map(({ wait }, index) =>
        scheduler.schedule(Promise.resolve(), `caller ${index}`).then(async () => {
          const publishedBefore = world.toldTo.size > 0
          const expectation = expectations[index]
          if (expectation != null) {
            answers.push(bodyOf(await expectation.result(1_000)))
          } else {
            const view = await replies.read(idOf('t', 0), wait ? 1_000 : 0)
            if (view === null) assert.ok(!wait && !publishedBefore, 'told pending after the end was told')
            answers.push(view === null ? 'result 0' : Buffer.from(view.payload!).toString())
          }
          world.toldTo.add(index)
        }),
      )
      for (let n = 0; n < results; n++) world.publish(result('t', `result ${n}`))
      await scheduler.waitIdle()
      assert.equal(world.toldTo.size, readers.length, 'somebody still waits')
      await Promise.all(asked)
      assert.deepEqual(new Set(answers), new Set(['result 0']))
      assert.equal(answers.length, readers.length)
      assert.equal((await world.telemetry.metrics.waiters.get()).values[0]?.value ?? 0, 0)
      assert.equal(world.clock.pending, 0)
    }),
    { numRuns: 1_000 },
  )
})

class World {
  readonly clock = new ManualClock()
  readonly telemetry = quietTelemetry()
  /** Callers who have their answer. */
  readonly toldTo = new Set<number>()
  readonly replies
  readonly #scheduler: fc.Scheduler
  readonly #log: Result[] = []
  #applied = 0
  #barriers: { readonly offset: number; readonly done: (reached: boolean) => void }[] = []
  readonly #recorder: Recorder
  #recording: Promise<void> = Promise.resolve()

  constructor(scheduler: fc.Scheduler) {
    this.#scheduler = scheduler
    this.#recorder = {
      onHeard: () => {},
      onStored: () => {},
      startedAt: () => 0,
      appliedTo: (_, offset) =>
        new Promise((resolve) => {
          if (this.#applied >= offset) resolve(true)
          else this.#barriers.push({ offset, done: resolve })
        }),
    } as Partial<Recorder> as Recorder
    const inspect = async () => {
      await scheduler.schedule(Promise.resolve(), 'inspect asked')
      const states = [{ topic: RESULTS_TOPIC, partition: 0, start: 0, end: this.#log.length, committed: null }]
      await scheduler.schedule(Promise.resolve(), 'inspect answered')
      return states
    }
    const get = async () => {
      await scheduler.schedule(Promise.resolve(), 'get asked')
      const first = this.#applied > 0 ? this.#log[0]! : null
      await scheduler.schedule(Promise.resolve(), 'get answered')
      return first === null ? null : { ...first, status: { ...first.end, finishedAtMs: first.finishedAtMs } }
    }
    this.replies = createReplies({
      broker: { inspect } as Partial<Broker> as Broker,
      store: { get } as Partial<Store> as Store,
      recorder: this.#recorder,
      lanes: 1,
      instance: 'one',
      waitersMax: 10,
      watchersMax: 10,
      clock: this.clock,
      telemetry: this.telemetry,
    })
  }

  publish(one: Result): void {
    this.#recording = this.#recording.then(async () => {
      await this.#scheduler.schedule(Promise.resolve(), 'append')
      this.#log.push(one)
      await this.#scheduler.schedule(Promise.resolve(), 'hear')
      this.#recorder.onHeard(0, one)
      await this.#scheduler.schedule(Promise.resolve(), 'apply')
      this.#applied += 1
      for (const barrier of this.#barriers) if (barrier.offset <= this.#applied) barrier.done(true)
      this.#recorder.onStored({ kind: 'result', offset: this.#applied - 1, result: one })
    })
  }
}
