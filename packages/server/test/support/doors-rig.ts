import { hash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Broker, systemClock, systemRandom } from '@forebay/broker'
import { embeddedBroker } from '@forebay/broker/embedded'
import { pino } from 'pino'
import { CLUSTER_TOPIC_SPEC, type ClusterKeys, openClusterKeys } from '../../src/accept/cluster-secret.ts'
import { createDoors, type Doors } from '../../src/accept/doors.ts'
import type { HttpOptions, QueueOptions, ServerOptions } from '../../src/options.ts'
import type { Replies } from '../../src/reply/replies.ts'
import type { Store } from '../../src/store/store.ts'
import { createMetrics } from '../../src/telemetry.ts'
import { taskTopic } from '../../src/topics.ts'

export interface DoorsRig {
  readonly url: string
  readonly port: number
  readonly doors: Doors
  readonly broker: Broker
  readonly keys: ClusterKeys
  /** How many records the topic of a queue holds. */
  kept(queue: string): Promise<number>
  stop(): Promise<void>
}

export interface DoorsRigOptions {
  readonly http?: Partial<HttpOptions>
  readonly auth?: ServerOptions['auth']
  readonly queues?: readonly QueueOptions[]
  readonly retentionMs?: number
  readonly replies?: Replies
  readonly store?: Store
  /** Another rig's, for a second gateway on the same log; that rig closes them. */
  readonly shared?: Pick<DoorsRig, 'broker' | 'keys'>
}

/** Names of principals and their keys. */
export function accessKeys(keys: Readonly<Record<string, string>>): ServerOptions['auth'] {
  return {
    keys: Object.entries(keys).map(([principal, key]) => ({ principal, sha256: hash('sha256', key) })),
  }
}

/** For tests of what happens before the log: no caller may wait, and nothing is known of any task. */
const NOBODY_ANSWERS: Replies = { lane: 3, expect: () => null, read: () => Promise.resolve(null) }
const NO_STORE = {} as Store

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
    retry: { attemptsMax: 5, withinMs: 600_000, backoffMs: 200, backoffMaxMs: 30_000 },
    schema: null,
    bodyBytesMax: 1_048_576,
    partitions: 4,
    ...other,
  }
}

/** Doors on a real embedded log. Tests that read or wait bring the real replies and store. */
export async function openDoorsRig(options: DoorsRigOptions = {}): Promise<DoorsRig> {
  const { replies = NOBODY_ANSWERS, store = NO_STORE } = options
  const queues = new Map((options.queues ?? [queueOptions('orders')]).map((queue) => [queue.name, queue]))
  const dir = await mkdtemp(join(tmpdir(), 'forebay-doors-'))
  const broker = options.shared?.broker ?? embeddedBroker({ dir })
  const log = pino({ level: 'silent' })
  const topics = [...queues.values()].map((queue) => ({
    name: queue.topic,
    partitions: queue.partitions,
    retentionMs: 86_400_000,
  }))
  if (options.shared === undefined) await broker.open({ topics: [CLUSTER_TOPIC_SPEC, ...topics] })
  const keys =
    options.shared?.keys ?? (await openClusterKeys({ broker, clock: systemClock, random: systemRandom, log }))
  const doors = createDoors({
    options: {
      http: { ...HTTP, ...options.http },
      auth: options.auth ?? { keys: [] },
      queues,
      retentionMs: options.retentionMs ?? 86_400_000,
    },
    broker,
    partitionsOf: (topic) => [...queues.values()].find((queue) => queue.topic === topic)!.partitions,
    keys,
    replies,
    store,
    health: () => ({ ready: true, reasons: [], profile: 'embedded' }),
    clock: systemClock,
    random: systemRandom,
    telemetry: { log, metrics: createMetrics() },
  })
  const { host, port } = await doors.http.listen()
  return {
    url: `http://${host}:${port}`,
    port,
    doors,
    broker,
    keys,
    async kept(queue) {
      const partitions = await broker.inspect({ topics: [taskTopic(queue)] })
      return partitions.reduce((sum, { start, end }) => sum + end - start, 0)
    },
    async stop() {
      await doors.http.stop(0)
      if (options.shared === undefined) {
        await keys.close()
        await broker.close()
      }
      await rm(dir, { recursive: true })
    },
  }
}

const HTTP: HttpOptions = {
  host: '127.0.0.1',
  port: 0,
  bodyBytesMax: 1_048_576,
  waitMaxMs: 60_000,
  waitersMax: 10_000,
  acceptingBytesMax: 67_108_864,
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
