import { hash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Broker, type Clock, systemClock, systemRandom, type TopicSpec } from '@forebay/broker'
import { embeddedBroker } from '@forebay/broker/embedded'
import { type Logger, pino } from 'pino'
import type { AdminRoute } from '../../src/accept/admin-routes.ts'
import { CLUSTER_TOPIC_SPEC, type ClusterKeys, openClusterKeys } from '../../src/accept/cluster-secret.ts'
import { createDoors, type Doors } from '../../src/accept/doors.ts'
import { ANONYMOUS } from '../../src/accept/principal.ts'
import { CONTROL_TOPIC_SPEC } from '../../src/control.ts'
import { createRecorder } from '../../src/finish/recorder.ts'
import type { EventTypeOptions, HttpOptions, QueueOptions, ServerOptions } from '../../src/options.ts'
import { resultRecord } from '../../src/records.ts'
import { createReplies } from '../../src/reply/log-replies.ts'
import type { Replies } from '../../src/reply/replies.ts'
import { embeddedStore } from '../../src/store/embedded/embedded.ts'
import type { Store } from '../../src/store/store.ts'
import type { Result } from '../../src/task.ts'
import { createMetrics, type Telemetry } from '../../src/telemetry.ts'
import { RESULTS_TOPIC, taskTopic } from '../../src/topics.ts'
import { PLAIN_POLICIES } from './plain-queue.ts'

export interface DoorsRig {
  readonly url: string
  readonly port: number
  readonly doors: Doors
  readonly broker: Broker
  readonly keys: ClusterKeys
  readonly replies: Replies
  readonly telemetry: Telemetry
  /** Without the faults of `wrapStore`. */
  readonly store: Store
  /** How many records the topic of a queue holds. */
  kept(queue: string): Promise<number>
  /** Publishes how a task of 'orders' and of nobody in particular ended. */
  end(taskId: string, end: Result['end'], other?: Partial<Result>): Promise<void>
  /** Lets another rig have the store's folder. */
  closeStore(): Promise<void>
  stop(): Promise<void>
}

export interface DoorsRigOptions {
  readonly http?: Partial<HttpOptions>
  readonly auth?: ServerOptions['auth']
  readonly queues?: readonly QueueOptions[]
  /** Default: none can be published. */
  readonly events?: readonly EventTypeOptions[]
  readonly retentionMs?: number
  /** A folder that outlives the rig. */
  readonly storeDir?: string
  /** Puts faults between the doors and the real store, or the real log. */
  readonly wrapStore?: (store: Store) => Store
  readonly wrapBroker?: (broker: Broker) => Broker
  /** Only for the doors. */
  readonly clock?: Clock
  /** Another rig's, for a second gateway on the same log; that rig closes them. */
  readonly shared?: Pick<DoorsRig, 'broker' | 'keys'>
  /** Another rig's, for a second gateway on the same store; that rig closes it. */
  readonly sharedStore?: Store
  /** Default: whether the store keeps parked tasks. */
  readonly delays?: boolean
  readonly adminRoutes?: readonly AdminRoute[]
  /** Default: none, and callbacks are refused. */
  readonly webhooks?: ServerOptions['webhooks']
  readonly log?: Logger
}

/** Names of principals and their keys. */
export function accessKeys(keys: Readonly<Record<string, string>>): ServerOptions['auth'] {
  return {
    keys: Object.entries(keys).map(([principal, key]) => ({ principal, sha256: hash('sha256', key) })),
  }
}

export function queueOptions(name: string, other: Partial<QueueOptions> = {}): QueueOptions {
  return {
    name,
    topic: taskTopic(name),
    route: null,
    key: null,
    order: 'none',
    target: { kind: 'workers' },
    concurrency: 100,
    timeoutMs: 30_000,
    deadlineMs: 86_400_000,
    retry: {
      attemptsMax: 5,
      withinMs: 600_000,
      backoffMs: 200,
      backoffMaxMs: 30_000,
      jitter: 'full' as const,
      on: null,
      budget: null,
    },
    ...PLAIN_POLICIES,
    schema: null,
    bodyBytesMax: 1_048_576,
    partitions: 4,
    ...other,
  }
}

/** Doors on a real embedded log with the real replies, recorder and store behind them; the test plays the workers. */
export async function openDoorsRig(options: DoorsRigOptions = {}): Promise<DoorsRig> {
  const queues = new Map((options.queues ?? [queueOptions('orders')]).map((queue) => [queue.name, queue]))
  const { shared, retentionMs = 86_400_000 } = options
  const dir = await mkdtemp(join(tmpdir(), 'forebay-doors-'))
  const broker = shared?.broker ?? embeddedBroker({ dir })
  const storeDir = options.storeDir ?? dir
  const log = options.log ?? pino({ level: 'silent' })
  const telemetry = { log, metrics: createMetrics() }
  const parts = { broker, clock: systemClock, random: systemRandom, telemetry }
  const events = options.events ?? []
  const eventTopics = events.map(({ topic, partitions }) => ({ name: topic, partitions, retentionMs }))
  if (shared === undefined) {
    await broker.open({ topics: [...topicsOf([...queues.values()], retentionMs), ...eventTopics] })
  }
  const keys = shared?.keys ?? (await openClusterKeys({ ...parts, log }))
  const ownStore = options.sharedStore ?? embeddedStore({ dir: storeDir, retentionMs })
  if (options.sharedStore === undefined) await ownStore.open()
  const store = options.wrapStore?.(ownStore) ?? ownStore
  const recorder = createRecorder({ ...parts, store, partitions: LANES })
  const { waitersMax, watchersMax } = { ...HTTP, ...options.http }
  const replies = createReplies({ ...parts, store, recorder, lanes: LANES, instance: 'rig', waitersMax, watchersMax })
  await recorder.start()
  const webhooks = options.webhooks === undefined ? {} : { webhooks: options.webhooks }
  const doors = createDoors({
    ...parts,
    options: {
      http: { ...HTTP, ...options.http },
      auth: options.auth ?? { keys: [] },
      queues,
      events: new Map(events.map((event) => [event.name, event])),
      retentionMs,
      ...webhooks,
    },
    partitionsOf: (topic) => [...queues.values()].find((queue) => queue.topic === topic)!.partitions,
    keys,
    replies,
    store,
    delays: options.delays ?? store.parking !== null,
    adminRoutes: options.adminRoutes ?? [],
    health: () => ({ ready: true, reasons: [], profile: 'embedded' }),
    ...(options.clock === undefined ? {} : { clock: options.clock }),
    ...(options.wrapBroker === undefined ? {} : { broker: options.wrapBroker(broker) }),
  })
  const { host, port } = await doors.http.listen()
  let stopping: Promise<void> | null = null
  return {
    url: `http://${host}:${port}`,
    port,
    doors,
    broker,
    keys,
    replies,
    telemetry,
    store: ownStore,
    async kept(queue) {
      const partitions = await broker.inspect({ topics: [taskTopic(queue)] })
      return partitions.reduce((sum, { start, end }) => sum + end - start, 0)
    },
    async end(taskId, end, other) {
      const about = { taskId, queue: 'orders', owner: ANONYMOUS, attempts: 1, generation: 0, finishedAtMs: Date.now() }
      const result = { ...about, end, ...other }
      await broker.publish([resultRecord(result, replies.lane)])
    },
    closeStore: () => ownStore.close(),
    stop() {
      stopping ??= stop()
      return stopping
    },
  }

  async function stop(): Promise<void> {
    doors.grpc.stop()
    await doors.http.stop(0)
    replies.stop()
    await recorder.stop()
    if (options.sharedStore === undefined) await ownStore.close()
    if (shared === undefined) {
      await keys.close()
      await broker.close()
    }
    await rm(dir, { recursive: true })
  }
}

const LANES = 4

function topicsOf(queues: readonly QueueOptions[], retentionMs: number): TopicSpec[] {
  const tasks = queues.map(({ topic, partitions }) => ({ name: topic, partitions, retentionMs }))
  return [CLUSTER_TOPIC_SPEC, CONTROL_TOPIC_SPEC, { name: RESULTS_TOPIC, partitions: LANES, retentionMs }, ...tasks]
}

const HTTP: HttpOptions = {
  host: '127.0.0.1',
  port: 0,
  bodyBytesMax: 1_048_576,
  waitMaxMs: 60_000,
  waitersMax: 10_000,
  watchersMax: 10_000,
  waitersPerPrincipalMax: 5_000,
  watchersPerPrincipalMax: 10_000,
  webSocketsMax: 10_000,
  acceptingBytesMax: 67_108_864,
  docsOpen: false,
}

/** Sends bytes as they are and reads until the other side closes, or `quietMs` pass without a byte. */
export function sendRaw(port: number, bytes: string | Buffer, quietMs = 400): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    let heard = ''
    socket.setTimeout(quietMs, () => socket.destroy())
    socket.on('data', (chunk) => {
      heard += chunk.toString('latin1')
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(heard))
    socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  })
}
