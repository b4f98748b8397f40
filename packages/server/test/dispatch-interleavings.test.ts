import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { pino } from 'pino'
import type { Cancellations } from '../src/dispatch/cancellations.ts'
import { startQueueDispatcher } from '../src/dispatch/queue-dispatcher.ts'
import type { Target } from '../src/execute/target.ts'
import { createFinisher } from '../src/finish/finisher.ts'
import type { QueueOptions } from '../src/options.ts'
import { decodeReported, taskRecord } from '../src/records.ts'
import { ManualClock } from '../src/store/contract/manual-clock.ts'
import { type Outcome, PLAIN_TASK, type Task } from '../src/task.ts'
import { createMetrics } from '../src/telemetry.ts'
import { taskTopic } from '../src/topics.ts'
import { MemoryParking } from './support/memory-parking.ts'
import { PLAIN_POLICIES } from './support/plain-queue.ts'
import { SteppedLog } from './support/stepped-log.ts'

type Step =
  | { readonly do: 'hand'; readonly key: 'a' | 'b' | null; readonly fails: number; readonly delayed: boolean }
  | { readonly do: 'deliver'; readonly count: number }
  | { readonly do: 'answer'; readonly which: number }
  | { readonly do: 'answerFirst'; readonly count: number }
  | { readonly do: 'pass'; readonly ms: number }
  | { readonly do: 'commit' | 'reassign' | 'steal' | 'break' }

const usual = [
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('hand' as const),
      key: fc.constantFrom('a' as const, 'a' as const, 'a' as const, 'b' as const, null),
      fails: fc.constantFrom(0, 0, 1, 2),
      delayed: fc.constantFrom(false, true),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('deliver' as const), count: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 10, arbitrary: fc.record({ do: fc.constant('answer' as const), which: fc.nat(50) }) },
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant('answerFirst' as const), count: fc.integer({ min: 2, max: 20 }) }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(20, 1_000, 20_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('commit' as const, 'reassign' as const) }) },
]
const mishaps = { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('steal' as const, 'break' as const) }) }
const length = { minLength: 60, maxLength: 250, size: 'max' } as const
const RUNS = Number(process.env.RUNS ?? 40)

test('whatever comes when, each task gets its result, and a key runs in order: also again after a change of hands', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(...usual), length), async (history) => {
      const run = await Run.through(history)
      run.checkOneAtATime()
      run.checkOrder()
    }),
    { numRuns: RUNS },
  )
})

test('also where calls to the store fail, answers get lost and another owns in between: each first run in its turn', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(...usual, mishaps), length), async (history) => {
      const run = await Run.through(history)
      run.checkOneAtATime()
      run.checkFirstRuns()
    }),
    { numRuns: RUNS },
  )
})

/** A dispatcher whose every question to log, store and target is answered when the history says so. */
class Run {
  readonly clock = new ManualClock()
  readonly parking = new MemoryParking(
    () => this.clock.wallMs(),
    (call) => this.asked(call),
  )
  readonly log = new SteppedLog(TOPIC, () => this.asked('publish'))
  readonly begins: { readonly key: string; readonly id: number }[] = []
  readonly running = new Map<AbortSignal, Set<string>>()
  readonly violations: string[] = []
  readonly #pending: { readonly what: string; readonly answer: () => void }[] = []
  readonly #fails = new Map<string, number>()
  readonly #failed = new Map<string, number>()
  #handed = 0
  #breaks = 0
  #stop: () => Promise<unknown> = async () => {}

  static async through(history: readonly Step[]): Promise<Run> {
    const run = new Run()
    await run.begin()
    for (const step of history) await run.take(step)
    await run.finish()
    return run
  }

  async begin(): Promise<void> {
    const random = { fill: () => {}, unit: () => 0.5 }
    const log = pino({ level: 'silent' })
    const dispatcher = await startQueueDispatcher({
      queue: QUEUE,
      broker: this.log.broker,
      target: this.#target(),
      finisher: createFinisher({ broker: this.log.broker, clock: this.clock, random, log }),
      cancellations: NO_CANCELLATIONS,
      parking: this.parking,
      partitions: 1,
      lanes: 1,
      clock: this.clock,
      random,
      log,
      meters: createMetrics().queue('q'),
    })
    this.#stop = () => dispatcher.stop({ graceMs: 0 })
  }

  async take(step: Step): Promise<void> {
    switch (step.do) {
      case 'hand':
        this.#hand(step.key, step.fails, step.delayed && step.key === null)
        break
      case 'deliver':
        this.log.deliver(step.count)
        break
      case 'answer':
        this.#answer(step.which)
        break
      case 'answerFirst':
        for (let count = step.count; count > 0; count--) {
          this.#answer(0)
          await calm()
        }
        break
      case 'pass':
        // A log that has something to deliver, or a position to store, does not wait for long.
        if (step.ms > 1_000) {
          this.log.deliver(1_000)
          this.log.commit()
        }
        await calm()
        this.clock.advance(step.ms)
        break
      case 'commit':
        this.log.commit()
        break
      case 'reassign':
        this.log.reassign()
        break
      case 'steal':
        this.parking.own('q', 0).catch(() => {})
        break
      case 'break':
        this.#breaks++
    }
    await calm()
  }

  /** Everything is answered and delivered until nothing is left to do. */
  async finish(): Promise<void> {
    for (
      let round = 0;
      round < 2_000 && (this.results().size < this.#handed || this.parking.rows.length > 0);
      round++
    ) {
      this.log.deliver(100)
      for (const { answer } of this.#pending.splice(0)) answer()
      await calm()
      if (this.#pending.length === 0) this.clock.advance(1_000)
    }
    const missing = [...Array(this.#handed).keys()].filter((id) => !this.results().has(String(id)))
    const rows = this.parking.rows.map(({ record, reason }) => `${record.offset} ${reason}`)
    const stopping = this.#stop()
    for (let round = 0; round < 20; round++) {
      for (const { answer } of this.#pending.splice(0)) answer()
      this.clock.advance(10_000)
      await calm()
    }
    await stopping
    assert.deepEqual(missing, [], `no result; parked: ${rows.join(', ')}`)
    assert.deepEqual(rows, [], 'parked still')
  }

  checkOneAtATime(): void {
    assert.deepEqual(this.violations, [])
  }

  /** A task that runs again is followed by all that came after it, again or for the first time (O-2). */
  checkOrder(): void {
    for (const key of ['a', 'b']) {
      const ids = this.#begun(key)
      const inOrder = [...new Set(ids)].sort((one, other) => one - other)
      let last = -1
      for (const id of ids) {
        const place = inOrder.indexOf(id)
        assert.ok(place <= last + 1, `${key}: ${ids.join(' ')}: ${id} came before its turn`)
        last = place
      }
    }
  }

  checkFirstRuns(): void {
    for (const key of ['a', 'b']) {
      const firsts = [...new Set(this.#begun(key))]
      assert.deepEqual(
        firsts,
        firsts.toSorted((one, other) => one - other),
      )
    }
  }

  results(): Set<string> {
    const ids = new Set<string>()
    for (const record of this.log.elsewhere) {
      const reported = decodeReported({ ...record, partition: 0, offset: 0, timestampMs: 0 })
      if (reported?.kind === 'result') ids.add(reported.result.taskId)
    }
    return ids
  }

  asked(what: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const answer = () => {
        // A question may fail before it is heard, and its answer may get lost.
        if (this.#breaks === 0 || what === 'publish' || what.startsWith('run')) return resolve()
        this.#breaks--
        reject(new Error(`${what} does not work`))
      }
      this.#pending.push({ what, answer })
    })
  }

  #begun(key: string): readonly number[] {
    return this.begins.filter((one) => one.key === key).map(({ id }) => id)
  }

  #answer(which: number): void {
    if (this.#pending.length === 0) return
    const [one] = this.#pending.splice(which % this.#pending.length, 1)
    one!.answer()
  }

  #hand(key: string | null, fails: number, delayed: boolean): void {
    const id = String(this.#handed++)
    this.#fails.set(id, fails)
    const task: Task = {
      ...PLAIN_TASK,
      id,
      queue: 'q',
      key,
      payload: Buffer.from('x'),
      contentType: 'text/plain',
      headers: [],
      owner: 'tester',
      lane: 0,
      acceptedAtMs: this.clock.wallMs(),
      budgetMs: 1_000_000_000,
      delayMs: delayed ? 10_000 : 0,
    }
    this.log.append(taskRecord(task, TOPIC, 0))
  }

  #target(): Target {
    return {
      capacity: Number.POSITIVE_INFINITY,
      onCapacity: () => {},
      cancel: () => {},
      stop: async () => {},
      run: async ({ task, lost }) => {
        const { id, key } = task
        const running = this.running.get(lost) ?? new Set()
        this.running.set(lost, running)
        if (key !== null) {
          if (running.has(key)) this.violations.push(`${id} began while another of ${key} ran`)
          running.add(key)
          this.begins.push({ key, id: Number(id) })
        }
        await this.asked(`run ${id}`)
        if (key !== null) running.delete(key)
        const failed = this.#failed.get(id) ?? 0
        if (failed >= this.#fails.get(id)!) return SUCCEEDED
        this.#failed.set(id, failed + 1)
        return { kind: 'failed', code: 'WORKER_FAILED', message: 'Not yet.', then: 'retry' }
      },
    }
  }
}

/** Promises that hang on each other are all through. */
async function calm(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
}

const TOPIC = taskTopic('q')
const SUCCEEDED: Outcome = { kind: 'succeeded', payload: Buffer.from('done'), contentType: 'text/plain' }
const NO_CANCELLATIONS: Cancellations = { has: () => false, subscribe: () => () => {}, close: async () => {} }
const QUEUE: QueueOptions = {
  name: 'q',
  topic: TOPIC,
  route: null,
  key: null,
  order: 'key',
  target: { kind: 'workers' },
  concurrency: 100,
  timeoutMs: 20_000,
  deadlineMs: 3_600_000,
  retry: {
    attemptsMax: 100,
    withinMs: 1_000_000_000,
    backoffMs: 3_000,
    backoffMaxMs: 12_000,
    jitter: 'none',
    on: null,
    budget: null,
  },
  ...PLAIN_POLICIES,
  schema: null,
  bodyBytesMax: 1_000_000,
  partitions: 1,
}
