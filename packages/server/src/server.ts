import type { Broker, Clock, Random, TopicSpec } from '@forebay/broker'
import { ForebayError, TaskService, WorkerService } from '@forebay/protocol'
import { LogService } from '@forebay/protocol/log'
import { Server as GrpcServer, ServerCredentials } from '@grpc/grpc-js'
import { CLUSTER_TOPIC_SPEC, type ClusterKeys, openClusterKeys } from './accept/cluster-secret.ts'
import { createDoors, type Doors } from './accept/doors.ts'
import { addGrpcServices, type GrpcServices } from './accept/grpc-services.ts'
import { letLongTimeoutsPass } from './accept/grpc-timeouts.ts'
import type { Health } from './accept/health-answers.ts'
import { createHealthDoor, type HealthDoor } from './accept/health-door.ts'
import type { Beside } from './beside.ts'
import type { BlobStore } from './blobs/blob-store.ts'
import { BlobSweeps } from './blobs/blob-sweeps.ts'
import { withBlobs } from './blobs/blob-target.ts'
import { BytesGate } from './blobs/bytes-gate.ts'
import { watchedBlobs } from './blobs/watched.ts'
import { CONTROL_TOPIC_SPEC } from './control.ts'
import { deadRoutes } from './dead/admin-routes.ts'
import { type Cancellations, startCancellations } from './dispatch/cancellations.ts'
import { type QueueDispatcher, startQueueDispatcher } from './dispatch/queue-dispatcher.ts'
import { createTarget } from './execute/create-target.ts'
import { RESULT_BYTES_MAX_DEFAULT } from './execute/limits.ts'
import type { Target } from './execute/target.ts'
import { serverOptionsFor } from './execute/worker-server-options.ts'
import { WorkerSessions } from './execute/worker-sessions.ts'
import { createFinisher, type Finisher, RECORD_HEADROOM_BYTES } from './finish/finisher.ts'
import { createRecorder, type Recorder } from './finish/recorder.ts'
import { resultTopics } from './finish/result-topics.ts'
import { type Running, STOP_GRACE_MS_DEFAULT, type StopOptions, type StopReport } from './lifecycle.ts'
import { logRoutes } from './logs/admin-routes.ts'
import type { LogQueries } from './logs/log-queries.ts'
import type { EventTypeOptions, QueueOptions, ServerOptions } from './options.ts'
import { createReplies, type RunningReplies } from './reply/log-replies.ts'
import type { Parking } from './store/parking.ts'
import type { Store } from './store/store.ts'
import { usableParking } from './store/usable-parking.ts'
import type { Telemetry } from './telemetry.ts'
import { deadTopic, RESULTS_TOPIC } from './topics.ts'
import { webhookRoutes } from './webhooks/admin-routes.ts'
import type { Deliverer } from './webhooks/deliverer.ts'
import { startDeliverer } from './webhooks/start-deliverer.ts'

export interface ServerParts {
  readonly options: ServerOptions
  /** None of them is open yet; the server opens them and closes them. */
  readonly broker: Broker
  readonly store: Store
  /** Default: none, and everything goes into records. */
  readonly blobs?: BlobStore | null
  readonly clock: Clock
  readonly random: Random
  readonly telemetry: Telemetry
  /** Started before the log is open, stopped before it is closed. */
  readonly beside?: Beside | null
  /** What operators may ask of the edge's logs here. */
  readonly logs?: LogQueries | null
}

export interface Server extends Running {
  /** Throws what stands in the way (a port that is taken, a log out of reach), with everything closed again. */
  start(): Promise<ServerAddresses>
}

export interface ServerAddresses {
  readonly http: Address
  readonly grpc: Address
}

export interface Address {
  readonly host: string
  readonly port: number
}

/** The six steps of a task, as far as this process's roles go, put together by hand. */
export function createServer(parts: ServerParts): Server {
  return new ComposedServer(parts)
}

class ComposedServer implements Server {
  readonly stopped: Promise<StopReport>
  readonly #parts: ServerParts
  readonly #blobs: BlobStore | null
  readonly #grpc: GrpcServer
  #services: GrpcServices | null = null
  #keys: ClusterKeys | null = null
  #recorder: Recorder | null = null
  #replies: RunningReplies | null = null
  #doors: Doors | null = null
  #deliverer: Deliverer | null = null
  #healthDoor: HealthDoor | null = null
  #sessions: WorkerSessions | null = null
  #finisher: Finisher | null = null
  #cancellations: Cancellations | null = null
  #blobSweeps: BlobSweeps | null = null
  readonly #targets: Target[] = []
  readonly #dispatchers: QueueDispatcher[] = []
  #starting: Promise<ServerAddresses> | null = null
  /** The same without the tidying up after a failure, which is a stop itself: that waits for this one only. */
  #building: Promise<ServerAddresses> | null = null
  #stopping: Promise<void> | null = null
  /** Ends a start that is under way. */
  readonly #startOver = new AbortController()
  #graceOver = new AbortController()
  #resolveStopped: (report: StopReport) => void = () => {}

  constructor(parts: ServerParts) {
    this.#parts = parts
    const { options, blobs = null, telemetry } = parts
    this.#blobs = blobs === null ? null : watchedBlobs(blobs, telemetry.log)
    this.#grpc = new GrpcServer(serverOptionsFor(Math.max(options.http.bodyBytesMax, this.#resultBytesMax())))
    this.stopped = new Promise((resolve) => {
      this.#resolveStopped = resolve
    })
  }

  start(): Promise<ServerAddresses> {
    if (this.#starting === null) {
      this.#building = this.#start()
      this.#starting = this.#building.catch(async (thrown: unknown) => {
        await this.stop({ graceMs: 0 })
        throw thrown
      })
    }
    return this.#starting
  }

  async stop(options: StopOptions = {}): Promise<StopReport> {
    const graceMs = options.graceMs ?? STOP_GRACE_MS_DEFAULT
    this.#startOver.abort(new ForebayError('CLOSED', 'This server was stopped.'))
    for (const dispatcher of this.#dispatchers) void dispatcher.stop({ graceMs })
    if (this.#stopping !== null) void this.#doors?.http.stop(graceMs)
    if (graceMs <= 0) this.#graceOver.abort()
    else {
      const timer = this.#parts.clock.timer(graceMs, () => this.#graceOver.abort())
      void this.stopped.then(() => timer.cancel())
    }
    this.#stopping ??= this.#stop(graceMs)
    return this.stopped
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #start(): Promise<ServerAddresses> {
    const { options, store, beside } = this.#parts
    const { signal } = this.#startOver
    signal.throwIfAborted()
    const opened = this.#openLog()
    // Heard of below, once the collector takes lines.
    opened.catch(() => {})
    await beside?.start(opened)
    await opened
    // The log may go again right after it was there.
    const partitions = await this.#onceThere(() => this.#partitionCounts())
    const partitionsOf = (topic: string) => partitions.get(topic) ?? options.partitions
    const lanes = partitionsOf(RESULTS_TOPIC)
    const records = options.roles.has('gateway') || options.roles.has('recorder')
    if (records || this.#parking() !== null) await store.open()
    await this.#openBlobs()
    if (records) await this.#startRecorder(lanes)
    signal.throwIfAborted()
    if (options.roles.has('gateway')) await this.#makeDoors(partitionsOf)
    if (options.roles.has('dispatcher')) this.#makeSessions()
    this.#services = addGrpcServices(this.#grpc, this.#grpcServices())
    signal.throwIfAborted()
    const grpc = await this.#bindGrpc()
    if (options.roles.has('dispatcher')) await this.#startDispatchers(lanes, partitionsOf)
    signal.throwIfAborted()
    return { http: await this.#listenHttp(), grpc }
  }

  async #openLog(): Promise<void> {
    const { options, broker, beside } = this.#parts
    const { signal } = this.#startOver
    // Parts may name the same topic, as the collector and the store of its rows do; what comes first says how it is made.
    const named = [...topicsOf(options), ...(beside?.topics ?? [])]
    const topics = named.filter(({ name }, index) => named.findIndex((one) => one.name === name) === index)
    await this.#onceThere(() => broker.open({ topics, signal }))
  }

  /** A log that is away is waited for where nobody is served: what is collected meanwhile is kept on this machine. */
  async #onceThere<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    const { options, beside, clock, telemetry } = this.#parts
    const { signal } = this.#startOver
    const waits = beside != null && [...options.roles].every((role) => role === 'collector' || role === 'logs')
    for (;;) {
      try {
        return await ask()
      } catch (thrown) {
        const isAway = thrown instanceof ForebayError && thrown.code === 'BROKER_UNAVAILABLE'
        if (!waits || !isAway || signal.aborted) throw thrown
        telemetry.log.warn({ err: thrown }, 'the log is not there; what is collected waits on this machine')
        await clock.sleep(OPEN_AGAIN_MS, signal)
      }
    }
  }

  async #partitionCounts(): Promise<Map<string, number>> {
    const { options, broker } = this.#parts
    const topics = [RESULTS_TOPIC, ...[...options.queues.values()].map((queue) => queue.topic)]
    const counts = new Map<string, number>()
    for (const { topic } of await broker.inspect({ topics })) counts.set(topic, (counts.get(topic) ?? 0) + 1)
    return counts
  }

  async #openBlobs(): Promise<void> {
    if (this.#blobs === null) return
    const { clock, telemetry } = this.#parts
    await this.#blobs.open()
    this.#blobSweeps = new BlobSweeps(this.#blobs, clock, telemetry.log)
  }

  async #startRecorder(lanes: number): Promise<void> {
    const { options, broker, store, clock, random, telemetry } = this.#parts
    this.#recorder = createRecorder({ broker, store, partitions: lanes, clock, random, telemetry })
    this.#replies = createReplies({
      broker,
      store,
      recorder: this.#recorder,
      lanes,
      instance: options.instance,
      waitersMax: options.http.waitersMax,
      watchersMax: options.http.watchersMax,
      clock,
      telemetry,
    })
    await this.#recorder.start()
  }

  async #makeDoors(partitionsOf: (topic: string) => number): Promise<void> {
    const { options, broker, store, clock, random, telemetry } = this.#parts
    this.#keys = await openClusterKeys({ broker, clock, random, log: telemetry.log })
    this.#doors = createDoors({
      ...this.#parts,
      partitionsOf,
      keys: this.#keys,
      replies: this.#replies!,
      delays: usableParking(store, broker) !== null,
      large: this.#blobs === null ? null : { blobs: this.#blobs, aboveBytes: options.blobs.aboveBytes },
      adminRoutes: [
        ...webhookRoutes({ callbacks: store.callbacks, clock, wake: () => this.#deliverer?.wake() }),
        ...deadRoutes({
          broker,
          clock,
          queues: options.queues,
          lanes: partitionsOf(RESULTS_TOPIC),
          knownLife: async (taskId) => {
            const known = await store.get(taskId)
            return known === null ? null : { generation: known.generation, state: known.status.state }
          },
          blobs: this.#blobs,
        }),
        ...logRoutes(this.#parts.logs ?? null),
      ],
      health: () => this.#health(),
    })
    this.#grpc.addService(this.#doors.grpc.definition, this.#doors.grpc.handlers)
    this.#grpc.addService(this.#doors.log.definition, this.#doors.log.handlers)
    this.#deliverer = startDeliverer({ ...this.#parts, doors: this.#doors, recorder: this.#recorder! })
  }

  #makeSessions(): void {
    const { options, clock, telemetry } = this.#parts
    const { sessionsMax, leaseMs } = options.grpc
    const resultBytesMax = this.#resultBytesMax()
    const common = { queues: options.queues, resultBytesMax, clock, ...telemetry }
    this.#sessions = new WorkerSessions({ ...common, sessionsMax, leaseMs })
    this.#grpc.addService(this.#sessions.definition, this.#sessions.handlers)
  }

  /** An answer that stays in its record must fit there. */
  #resultBytesMax(): number {
    return this.#blobs === null ? RESULT_BYTES_MAX_DEFAULT : this.#parts.options.blobs.resultBytesMax
  }

  #grpcServices() {
    return [
      ...(this.#doors === null ? [] : [TaskService, LogService]),
      ...(this.#sessions === null ? [] : [WorkerService]),
    ]
  }

  /** For its dispatchers; null where there are none, and where the store is not common to all of them. */
  #parking(): Parking | null {
    const { options, broker, store } = this.#parts
    return options.roles.has('dispatcher') ? usableParking(store, broker) : null
  }

  async #startDispatchers(lanes: number, partitionsOf: (topic: string) => number): Promise<void> {
    const { options, broker, clock, random, telemetry } = this.#parts
    const { log, metrics } = telemetry
    const topics = resultTopics(options.queues.values(), broker.capabilities.recordBytesMax)
    this.#finisher = createFinisher({ broker, blobs: this.#blobs, resultTopics: topics, clock, random, log, metrics })
    const finisher = this.#finisher
    this.#cancellations = startCancellations({ broker, clock, random, log })
    const cancellations = this.#cancellations
    const parking = this.#parking()
    const inRecordBytesMax = broker.capabilities.recordBytesMax - RECORD_HEADROOM_BYTES
    const aboveBytes = Math.min(options.blobs.aboveBytes, inRecordBytesMax)
    const bodies = new BytesGate(BODIES_BYTES_MAX, Number.POSITIVE_INFINITY)
    for (const queue of options.queues.values()) {
      const resultBytesMax = this.#resultBytesMax()
      const target = createTarget(queue, { workers: this.#sessions!, clock, random, resultBytesMax })
      this.#targets.push(withBlobs({ target, blobs: this.#blobs, aboveBytes, bodies, clock, random, log }))
    }
    const started = [...options.queues.values()].map(async (queue, index) => {
      const target = this.#targets[index]!
      const meters = metrics.queue(queue.name)
      const partitions = partitionsOf(queue.topic)
      const common = { broker, finisher, cancellations, parking, lanes, clock, random, log }
      this.#dispatchers.push(await startQueueDispatcher({ ...common, queue, partitions, target, meters }))
    })
    await Promise.all(started)
  }

  #listenHttp(): Promise<Address> {
    if (this.#doors !== null) return this.#doors.http.listen()
    const { options, telemetry } = this.#parts
    this.#healthDoor = createHealthDoor({ http: options.http, health: () => this.#health(), telemetry })
    return this.#healthDoor.listen()
  }

  #bindGrpc(): Promise<Address> {
    const { host, port } = this.#parts.options.grpc
    return new Promise((resolve, reject) => {
      this.#grpc.bindAsync(`${host}:${port}`, ServerCredentials.createInsecure(), (error, bound) => {
        if (error !== null) {
          reject(error)
          return
        }
        letLongTimeoutsPass(this.#grpc)
        resolve({ host, port: bound })
      })
    })
  }

  #health(): Health {
    const { broker } = this.#parts
    const reasons = [...(this.#recorder?.problems() ?? []), ...(this.#parts.beside?.problems() ?? [])]
    return { ready: reasons.length === 0, reasons, profile: broker.capabilities.durability }
  }

  /** New work is refused first, then what runs is finished, then what carries it is closed. */
  async #stop(graceMs: number): Promise<void> {
    const { broker, store, clock } = this.#parts
    await Promise.allSettled([this.#building])
    this.#services?.stop()
    const beside = this.#parts.beside?.stop(graceMs)
    this.#doors?.grpc.stop()
    this.#doors?.log.stop()
    this.#healthDoor?.drain()
    const beganMs = clock.monotonicMs()
    const leftOfGraceMs = () =>
      this.#graceOver.signal.aborted ? 0 : Math.max(0, graceMs - (clock.monotonicMs() - beganMs))
    const [cut, ...reports] = await Promise.all([
      this.#doors?.http.stop(graceMs) ?? 0,
      ...this.#dispatchers.map((dispatcher) => dispatcher.stop({ graceMs: leftOfGraceMs() })),
    ])
    const left = reports.flatMap((report) => report.left)
    if (cut > 0) left.push(`${cut} HTTP connections were cut`)
    await this.#deliverer?.stop(this.#graceOver.signal)
    this.#finisher?.close()
    await this.#cancellations?.close()
    await this.#sessions?.stop(this.#graceOver.signal)
    await Promise.all(this.#targets.map((target) => target.stop(this.#graceOver.signal)))
    await this.#shutGrpc()
    await this.#replies?.stop()
    await this.#recorder?.stop()
    await this.#healthDoor?.close()
    await this.#keys?.close()
    await this.#blobSweeps?.stop()
    await this.#blobs?.close()
    await beside
    await store.close()
    await broker.close()
    this.#resolveStopped({ left })
  }

  async #shutGrpc(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#grpc.tryShutdown(() => resolve()))
    const force = () => this.#grpc.forceShutdown()
    if (this.#graceOver.signal.aborted) force()
    else this.#graceOver.signal.addEventListener('abort', force, { once: true })
    await closed
  }
}

/** Large bodies that are in memory on their way to workers and targets; attempts beyond it wait. */
const BODIES_BYTES_MAX = 128 * 1024 * 1024
/** Between two attempts at a log that is away; each takes a while of its own. */
const OPEN_AGAIN_MS = 1_000

function topicsOf({ queues, events, partitions, retentionMs }: ServerOptions): TopicSpec[] {
  const topics: TopicSpec[] = [CLUSTER_TOPIC_SPEC, CONTROL_TOPIC_SPEC, { name: RESULTS_TOPIC, partitions, retentionMs }]
  for (const queue of queues.values()) {
    topics.push({ name: queue.topic, partitions: queue.partitions, retentionMs })
    topics.push({ name: deadTopic(queue.topic), partitions: queue.partitions, retentionMs: 'forever' })
  }
  return [...topics, ...resultTopicsOf(queues.values(), retentionMs), ...eventTopicsOf(events.values())]
}

/** One that several queues share has the partitions of the widest of them. */
function resultTopicsOf(queues: Iterable<QueueOptions>, retentionMs: number): TopicSpec[] {
  const partitions = new Map<string, number>()
  for (const queue of queues) {
    if (queue.resultTopic === null) continue
    partitions.set(queue.resultTopic, Math.max(queue.partitions, partitions.get(queue.resultTopic) ?? 0))
  }
  return [...partitions].map(([name, count]) => ({ name, partitions: count, retentionMs }))
}

/** Events that share a topic agree on how it is made. */
function eventTopicsOf(events: Iterable<EventTypeOptions>): TopicSpec[] {
  const topics = new Map<string, TopicSpec>()
  for (const { topic, partitions, retentionMs } of events) topics.set(topic, { name: topic, partitions, retentionMs })
  return [...topics.values()]
}
