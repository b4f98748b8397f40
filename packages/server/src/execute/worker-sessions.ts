import { create } from '@bufbuild/protobuf'
import type { Clock, Timer } from '@forebay/broker'
import { ForebayError, grpcDefinition, type Welcome, WelcomeSchema, WorkerService } from '@forebay/protocol'
import {
  type handleBidiStreamingCall,
  type ServerDuplexStream,
  type ServiceDefinition,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import type { Logger } from 'pino'
import { breakOff } from '../break-off.ts'
import { nearestName } from '../nearest-name.ts'
import { CHUNK_BYTES_MAX, CHUNKS_BYTES_MAX, CHUNKS_MAX, CHUNKS_WINDOW_BYTES } from '../task.ts'
import type { Metrics } from '../telemetry.ts'
import { RESULT_BYTES_MAX_DEFAULT } from './limits.ts'
import type { Target } from './target.ts'
import { type SessionEnd, type SessionHost, STOPPING, WorkerSession } from './worker-session.ts'
import { WorkerTarget } from './worker-target.ts'

export interface WorkerSessionsOptions {
  /** Name of each queue, and whether workers serve it. */
  readonly queues: ReadonlyMap<string, { readonly target: { readonly kind: string } }>
  readonly sessionsMax: number
  readonly leaseMs: number
  /** Default `RESULT_BYTES_MAX_DEFAULT`. */
  readonly resultBytesMax?: number
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

/** Where workers dial in: the handler of `WorkerService/Session`, and the targets of the queues that they serve. */
export class WorkerSessions {
  /** For `Server.addService`. Messages pass as bytes: the session reads them, so that garbage ends only itself. */
  readonly definition: ServiceDefinition
  readonly handlers: UntypedServiceImplementation
  readonly #options: WorkerSessionsOptions
  readonly #host: SessionHost
  readonly #targets = new Map<string, WorkerTarget>()
  readonly #sessions = new Set<WorkerSession>()
  /** Streams that are not gone yet, whatever became of their session. */
  #streams = 0
  #dirty = new Set<WorkerSession>()
  #liveness: Timer | null = null
  #stopping = false
  #onEmpty: (() => void)[] = []

  constructor(options: WorkerSessionsOptions) {
    this.#options = options
    for (const [name, queue] of options.queues) {
      if (queue.target.kind === 'workers') this.#targets.set(name, new WorkerTarget(name, options.clock))
    }
    this.#host = {
      clock: options.clock,
      welcome: welcomeOf(options),
      targetsOf: (queues) => this.#targetsOf(queues),
      flushSoon: (session) => this.#flushSoon(session),
      outcomeRefused: () => options.metrics.outcomesRefused.inc(),
      joined: (session, version) =>
        options.log.info({ worker: session.worker, ...(version === '' ? {} : { version }) }, 'a worker has joined'),
    }
    this.definition = bytesDefinition()
    const session: handleBidiStreamingCall<Buffer, Buffer> = (call) => this.#accept(call)
    this.handlers = { Session: session }
  }

  /** Of a queue that workers serve. */
  target(queue: string): Target {
    const target = this.#targets.get(queue)
    if (target === undefined) throw new ForebayError('QUEUE_NOT_FOUND', `Workers do not serve a queue '${queue}'.`)
    return target
  }

  /** Takes no more sessions, tells all to finish, waits for them until `signal` aborts, then ends them. */
  async stop(signal: AbortSignal): Promise<void> {
    this.#stopping = true
    for (const session of [...this.#sessions]) session.drain()
    if (this.#sessions.size > 0 && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#onEmpty.push(resolve)
      signal.addEventListener('abort', () => resolve(), { once: true })
      await promise
    }
    for (const session of [...this.#sessions]) session.end(STOPPING)
    this.#liveness?.cancel()
    await Promise.all([...this.#targets.values()].map((target) => target.stop(AbortSignal.abort())))
  }

  #accept(call: ServerDuplexStream<Buffer, Buffer>): void {
    const refusal = this.#refusal()
    if (refusal !== null) {
      endCall(call, refusal)
      return
    }
    const stream = {
      write: call.write.bind(call),
      end: (end: SessionEnd | null) => this.#ended(session, call, end),
      pause: () => void call.pause(),
      resume: () => void call.resume(),
    }
    const session = new WorkerSession(this.#host, stream, call.getPeer())
    this.#streams++
    this.#sessions.add(session)
    this.#options.metrics.workerSessions.inc()
    this.#watchLiveness()
    call.on('data', (bytes: Buffer) => session.received(bytes))
    // A stream that breaks off ends as well; grpc-js says so a moment later.
    call.on('end', () => setImmediate(() => (call.cancelled ? session.end(null) : session.halfClosed())))
    // What grpc-js says when the peer cancels, breaks off or sends a message beyond the limit.
    call.on('cancelled', () => session.end(null))
    call.on('close', () => {
      this.#streams--
      session.end(null)
    })
  }

  #refusal(): SessionEnd | null {
    const { sessionsMax } = this.#options
    if (this.#stopping) return STOPPING
    if (this.#streams < sessionsMax) return null
    return { status: 'RESOURCE_EXHAUSTED', message: `There are ${sessionsMax} sessions already; dial in again later.` }
  }

  #ended(session: WorkerSession, call: ServerDuplexStream<Buffer, Buffer>, end: SessionEnd | null): void {
    this.#sessions.delete(session)
    this.#options.metrics.workerSessions.dec()
    const { worker } = session
    if (end === null) this.#options.log.info({ worker }, 'a worker has left')
    else this.#options.log.warn({ worker, status: end.status }, `a worker's session has ended: ${end.message}`)
    if (!call.destroyed) {
      endCall(call, end)
      const timer = this.#options.clock.timer(this.#host.welcome.leaseMs, () => breakOff(call))
      call.once('close', () => timer.cancel())
    }
    if (this.#sessions.size > 0) return
    this.#liveness?.cancel()
    this.#liveness = null
    for (const resolve of this.#onEmpty.splice(0)) resolve()
  }

  #targetsOf(queues: readonly string[]): readonly WorkerTarget[] | string {
    if (queues.length === 0) return 'The hello names no queue; name at least one.'
    const targets = new Set<WorkerTarget>()
    for (const queue of queues) {
      const target = this.#targets.get(queue)
      if (target === undefined) return this.#whyNot(queue)
      targets.add(target)
    }
    return [...targets]
  }

  #whyNot(queue: string): string {
    const shown = JSON.stringify(queue.slice(0, 100))
    const configured = this.#options.queues.get(queue)
    if (configured !== undefined) {
      return `The queue ${shown} is not served by workers: its target is of kind '${configured.target.kind}'.`
    }
    const near = nearestName(queue, this.#targets.keys())
    return `There is no queue ${shown} here${near === null ? '.' : `; did you mean '${near}'?`}`
  }

  /** Everything that one turn of the event loop has to say to a worker leaves in one frame. */
  #flushSoon(session: WorkerSession): void {
    if (this.#dirty.size === 0) setImmediate(() => this.#flush())
    this.#dirty.add(session)
  }

  #flush(): void {
    const dirty = this.#dirty
    this.#dirty = new Set()
    for (const session of dirty) session.flush()
  }

  #watchLiveness(): void {
    if (this.#liveness !== null) return
    const { clock } = this.#options
    const periodMs = Math.max(1, this.#host.welcome.heartbeatMs / 2)
    const dueMs = clock.monotonicMs() + periodMs
    this.#liveness = clock.timer(periodMs, () => {
      this.#liveness = null
      // After a standstill of this process the workers' words lie unread in its sockets: read before judging.
      const late = clock.monotonicMs() - dueMs > periodMs
      if (!late) for (const session of [...this.#sessions]) session.checkLiveness()
      if (this.#sessions.size > 0) this.#watchLiveness()
    })
  }
}

function welcomeOf(options: WorkerSessionsOptions): Welcome {
  return create(WelcomeSchema, {
    heartbeatMs: Math.max(1, Math.floor(options.leaseMs / 3)),
    leaseMs: options.leaseMs,
    resultBytesMax: options.resultBytesMax ?? RESULT_BYTES_MAX_DEFAULT,
    chunkBytesMax: CHUNK_BYTES_MAX,
    chunkWindowBytes: CHUNKS_WINDOW_BYTES,
    chunksMax: CHUNKS_MAX,
    chunksBytesMax: CHUNKS_BYTES_MAX,
  })
}

function bytesDefinition(): ServiceDefinition {
  const pass = (bytes: Buffer) => bytes
  return Object.fromEntries(
    Object.entries(grpcDefinition(WorkerService)).map(([name, method]) => [
      name,
      { ...method, requestDeserialize: pass, responseSerialize: pass },
    ]),
  )
}

function endCall(call: ServerDuplexStream<Buffer, Buffer>, end: SessionEnd | null): void {
  if (end === null) call.end()
  else call.emit('error', { code: status[end.status], details: end.message })
  // Whatever the worker still says is read and dropped.
  call.resume()
}
