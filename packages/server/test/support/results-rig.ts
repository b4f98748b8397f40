import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type Broker, type Clock, type Random, systemClock, systemRandom } from '@forebay/broker'
import { embeddedBroker } from '@forebay/broker/embedded'
import { pino } from 'pino'
import type { TaskIdParts } from '../../src/accept/task-id.ts'
import { createRecorder, type Recorder } from '../../src/finish/recorder.ts'
import { resultRecord } from '../../src/records.ts'
import { createReplies, type RunningReplies } from '../../src/reply/log-replies.ts'
import { embeddedStore } from '../../src/store/embedded/embedded.ts'
import type { Store } from '../../src/store/store.ts'
import type { Result } from '../../src/task.ts'
import { createMetrics, type Telemetry } from '../../src/telemetry.ts'
import { RESULTS_TOPIC } from '../../src/topics.ts'

export const LANES = 3

/** Retries at once. */
export const impatient: Random = { ...systemRandom, unit: () => 0 }

export function folder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-results-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** A real log with an empty results topic. */
export async function openLog(t: TestContext, dir = folder(t)): Promise<Broker> {
  const broker = embeddedBroker({ dir })
  await broker.open({ topics: [{ name: RESULTS_TOPIC, partitions: LANES, retentionMs: 3_600_000 }] })
  t.after(() => broker.close())
  return broker
}

export async function openStore(t: TestContext, dir = folder(t)): Promise<Store> {
  const store = embeddedStore({ dir, retentionMs: 3_600_000 })
  await store.open()
  t.after(() => store.close())
  return store
}

export function quietTelemetry(): Telemetry {
  return { log: pino({ level: 'silent' }), metrics: createMetrics() }
}

export function recorderOn(
  t: TestContext,
  broker: Broker,
  store: Store,
  telemetry = quietTelemetry(),
  clock = systemClock,
): Recorder {
  const recorder = createRecorder({
    broker,
    store,
    partitions: LANES,
    clock,
    random: impatient,
    telemetry,
  })
  t.after(() => recorder.stop())
  return recorder
}

export interface Gateway {
  readonly replies: RunningReplies
  readonly recorder: Recorder
  readonly telemetry: Telemetry
  /** As the metric says. */
  waiting(): Promise<number>
}

export interface GatewayOptions {
  readonly broker: Broker
  readonly store: Store
  readonly instance?: string
  readonly waitersMax?: number
  readonly clock?: Clock
}

/** Replies over a store of their own, with its recorder. */
export async function openGateway(t: TestContext, options: GatewayOptions): Promise<Gateway> {
  const { broker, store, clock = systemClock, waitersMax = 100, instance = 'one' } = options
  const telemetry = quietTelemetry()
  const recorder = recorderOn(t, broker, store, telemetry)
  const replies = createReplies({
    broker,
    store,
    recorder,
    lanes: LANES,
    instance,
    waitersMax,
    watchersMax: 1_000,
    clock,
    telemetry,
  })
  await recorder.start()
  return {
    replies,
    recorder,
    telemetry,
    waiting: async () => (await telemetry.metrics.waiters.get()).values[0]?.value ?? 0,
  }
}

export function result(taskId: string, body: string): Result {
  const end = { state: 'succeeded' as const, payload: Buffer.from(body), contentType: 'text/plain' }
  return { taskId, queue: 'orders', owner: 'anna', attempts: 1, generation: 0, finishedAtMs: Date.now(), end }
}

export function bodyOf(found: Result | null): string | null {
  return found?.end.state === 'succeeded' ? Buffer.from(found.end.payload).toString() : null
}

/** Returns the offset after the last one. */
export async function publish(broker: Broker, lane: number, ...results: readonly Result[]): Promise<number> {
  const positions = await broker.publish(results.map((one) => resultRecord(one, lane)))
  return positions.at(-1)!.offset + 1
}

export function idOf(taskId: string, lane: number): TaskIdParts {
  return { id: taskId, lane, queue: 'orders', acceptedAtMs: 0, deadlineAtMs: 1 } as TaskIdParts
}
