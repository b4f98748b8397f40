import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Broker, type LogRecord, systemClock, systemRandom } from '@forebay/broker'
import { embeddedBroker } from '@forebay/broker/embedded'
import { pino } from 'pino'
import { CONTROL_TOPIC_SPEC, cancellationRecord } from '../../src/control.ts'
import { type Cancellations, startCancellations } from '../../src/dispatch/cancellations.ts'
import { type QueueDispatcher, startQueueDispatcher } from '../../src/dispatch/queue-dispatcher.ts'
import { createFinisher } from '../../src/finish/finisher.ts'
import type { QueueOptions } from '../../src/options.ts'
import { decodeReported, resultRecord, taskRecord } from '../../src/records.ts'
import { embeddedStore } from '../../src/store/embedded/embedded.ts'
import type { Parking } from '../../src/store/parking.ts'
import type { Store } from '../../src/store/store.ts'
import { type Note, PLAIN_TASK, type Result, type Task } from '../../src/task.ts'
import { createMetrics } from '../../src/telemetry.ts'
import { deadTopic, dispatchGroup, RESULTS_TOPIC, taskTopic } from '../../src/topics.ts'
import { PLAIN_POLICIES } from './plain-queue.ts'
import { ScriptedTarget } from './scripted-target.ts'
import { SkipClock } from './skip-clock.ts'

const TOPIC = taskTopic('q')
const LANES = 1
const PATIENCE_MS = 60_000

export interface GivenTask extends Partial<Omit<Task, 'payload'>> {
  readonly id: string
  /** What the target does, see `ScriptedTarget`. Default 'ok'. */
  readonly does?: string
  readonly partition?: number
}

export interface RigOptions {
  readonly partitions?: number
  readonly parking?: false | ((store: Store) => Parking)
  /** The log forgets what was settled: every record comes again to the next dispatcher. */
  readonly forgetful?: boolean
}

/** The retries of a test: far apart enough to be parked, without chance. */
export const RETRIES = {
  attemptsMax: 5,
  withinMs: 3_600_000,
  backoffMs: 20_000,
  backoffMaxMs: 20_000,
  jitter: 'none',
  on: null,
  budget: null,
} as const

/** A queue's dispatcher on a real log and a real store in a folder of its own, with a clock that can be moved ahead. */
export async function openRig(given: Partial<QueueOptions> = {}, options: RigOptions = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-dispatch-'))
  const clock = new SkipClock()
  const random = systemRandom
  const log = pino({ level: process.env.RIG_LOG ?? 'silent' })
  const metrics = createMetrics()
  const partitions = options.partitions ?? 1
  let wake = () => {}
  const heard = () => wake()
  const failed = new Map<string, number>()
  const target = new ScriptedTarget(heard, failed)
  const queue: QueueOptions = {
    name: 'q',
    topic: TOPIC,
    route: null,
    key: null,
    order: 'none',
    target: { kind: 'workers' },
    concurrency: 100,
    timeoutMs: 20_000,
    deadlineMs: 3_600_000,
    retry: RETRIES,
    ...PLAIN_POLICIES,
    schema: null,
    bodyBytesMax: 1_000_000,
    partitions,
    ...given,
  }
  let broker: Broker
  let store: Store
  let dispatcher: QueueDispatcher
  let cancellations: Cancellations
  let closeFinisher: () => void
  let startOn: (target: ScriptedTarget) => Promise<QueueDispatcher>
  const results: Result[] = []
  const notes: Note[] = []
  let hearing: Promise<void>
  let heardUpTo = 0

  const start = async () => {
    const embedded = embeddedBroker({ dir: join(dir, 'log'), commitIntervalMs: 10 })
    broker = options.forgetful ? forgetful(embedded) : embedded
    await broker.open({
      topics: [
        { name: TOPIC, partitions, retentionMs: 'forever' },
        { name: deadTopic(TOPIC), partitions, retentionMs: 'forever' },
        { name: RESULTS_TOPIC, partitions: LANES, retentionMs: 'forever' },
        CONTROL_TOPIC_SPEC,
      ],
    })
    store = embeddedStore({ dir: join(dir, 'store'), clock, retentionMs: 86_400_000 })
    await store.open()
    const listener = await broker.listen({ topic: RESULTS_TOPIC, partition: 0, from: heardUpTo })
    hearing = hear(listener)
    await startDispatcher()
  }

  const hear = async (listener: AsyncIterable<readonly LogRecord[]>) => {
    for await (const records of listener) {
      for (const record of records) {
        heardUpTo = record.offset + 1
        const reported = decodeReported(record)
        if (reported?.kind === 'result') results.push(reported.result)
        else if (reported?.kind === 'note') notes.push(reported.note)
      }
      heard()
    }
  }

  const startDispatcher = async () => {
    cancellations = startCancellations({ broker, clock, random, log })
    const finisher = createFinisher({ broker, clock, random, log })
    closeFinisher = () => finisher.close()
    const parking = options.parking === false ? null : (options.parking?.(store) ?? store.parking)
    const meters = metrics.queue('q')
    const common = {
      queue,
      broker,
      finisher,
      cancellations,
      parking,
      partitions,
      lanes: LANES,
      clock,
      random,
      log,
      meters,
    }
    startOn = (on) => startQueueDispatcher({ ...common, target: on })
    dispatcher = await startOn(target)
  }

  const until = async <Found>(what: string, look: () => Found | undefined | false): Promise<Found> => {
    const giveUpAt = performance.now() + PATIENCE_MS
    for (;;) {
      const found = look()
      if (found !== undefined && found !== false) return found
      if (performance.now() > giveUpAt) {
        throw new Error(
          `not in time: ${what}; calls: ${target.calls
            .slice(-50)
            .map((call) => call.id)
            .join(' ')}`,
        )
      }
      await new Promise<void>((resolve) => {
        wake = resolve
        setTimeout(resolve, 20)
      })
    }
  }

  const stop = async (graceMs = 5_000) => {
    const report = await dispatcher.stop({ graceMs })
    closeFinisher()
    await cancellations.close()
    await broker.close()
    await hearing
    await store.close()
    return report
  }

  await start()
  return {
    clock,
    target,
    results,
    notes,
    queue,
    metrics,
    until,
    stop,
    start,
    get broker() {
      return broker
    },
    get parking() {
      return store.parking!
    },
    get dispatcher() {
      return dispatcher
    },
    /** A second dispatcher, as in another process; what it does is told by its own target. */
    async another() {
      const others = new ScriptedTarget(heard, failed)
      const other = await startOn(others)
      return { target: others, dispatcher: other, stop: () => other.stop({ graceMs: 5_000 }) }
    },
    async restart() {
      await stop()
      await start()
    },
    /** Everything ends at once, with what is under way lost, and starts again. */
    async crash() {
      await stop(0)
      await start()
    },
    hand: (...tasks: readonly GivenTask[]) =>
      broker.publish(tasks.map((one) => taskRecord(taskOf(one, clock.wallMs()), TOPIC, one.partition ?? 0))),
    cancel: async (taskId: string, generation = 0) => {
      const fault = { code: 'TASK_CANCELLED', detail: 'Cancelled.' } as const
      const end = { state: 'cancelled', fault } as const
      const common = { taskId, queue: 'q', owner: 'tester', attempts: 0, generation }
      await broker.publish([resultRecord({ ...common, finishedAtMs: clock.wallMs(), end }, 0)])
      await broker.publish([cancellationRecord({ taskId, queue: 'q', generation })])
    },
    resultOf: (id: string) => until(`result of ${id}`, () => results.find((result) => result.taskId === id)),
    called: (id: string, number = 1) =>
      until(`attempt ${number} of ${id}`, () =>
        target.calls.find((call) => call.id === id && call.number === number) === undefined ? undefined : true,
      ),
    /** As many rows as that are parked, whoever has them. */
    parked: async (count: number) => {
      const giveUpAt = performance.now() + PATIENCE_MS
      for (;;) {
        const { total } = await store.parking!.list({ limit: 1 })
        if (total === count) return
        if (performance.now() > giveUpAt) throw new Error(`${total} rows are parked, not ${count}`)
        await systemClock.sleep(5)
      }
    },
    callsOf: (key: string) => target.calls.filter((call) => call.key === key).map((call) => call.id),
    committed: async () =>
      (await broker.inspect({ topics: [TOPIC], group: dispatchGroup('q') })).map((one) => one.committed),
    endOf: async (topic: string) => (await broker.inspect({ topics: [topic] })).reduce((sum, one) => sum + one.end, 0),
    metric: async (name: string) => {
      const found = (await metrics.registry.getMetricsAsJSON()).find((one) => one.name === name)
      return (found?.values as readonly { readonly value: number }[] | undefined)?.[0]?.value ?? 0
    },
    async [Symbol.asyncDispose]() {
      target.release()
      await stop(0)
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

function forgetful(broker: Broker): Broker {
  return {
    capabilities: broker.capabilities,
    open: (request) => broker.open(request),
    publish: (records) => broker.publish(records),
    listen: (request) => broker.listen(request),
    inspect: (request) => broker.inspect(request),
    close: () => broker.close(),
    async consume(request) {
      const subscription = await broker.consume(request)
      return {
        close: () => subscription.close(),
        async *[Symbol.asyncIterator]() {
          for await (const batch of subscription) {
            const deliveries = batch.deliveries.map(({ record, lost }) => ({ record, lost, settle: () => {} }))
            yield { ...batch, deliveries }
          }
        },
      }
    },
  }
}

function taskOf({ does, partition: _, ...given }: GivenTask, nowMs: number): Task {
  return {
    queue: 'q',
    key: null,
    payload: Buffer.from(does ?? 'ok'),
    contentType: 'text/plain',
    headers: [],
    owner: 'tester',
    lane: 0,
    acceptedAtMs: nowMs,
    budgetMs: 3_600_000,
    ...PLAIN_TASK,
    ...given,
  }
}

export const DEAD_TOPIC = deadTopic(TOPIC)
