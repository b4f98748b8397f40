import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf'
import { systemClock } from '@forebay/broker'
import {
  type SessionRequest,
  SessionRequestSchema,
  type SessionResponse,
  SessionResponseSchema,
  type Attempt as WireAttempt,
} from '@forebay/protocol'
import {
  Client,
  type ClientDuplexStream,
  credentials,
  Server,
  ServerCredentials,
  type StatusObject,
} from '@grpc/grpc-js'
import { pino } from 'pino'
import { WORKER_SERVER_OPTIONS } from '../src/execute/worker-server-options.ts'
import { WorkerSessions, type WorkerSessionsOptions } from '../src/execute/worker-sessions.ts'
import { type Attempt, type ChunkContent, type OutputSink, PLAIN_TASK, type Task } from '../src/task.ts'
import { createMetrics } from '../src/telemetry.ts'

export const NEVER = new AbortController().signal

export function attemptOf(given: Partial<Task> = {}, over: Partial<Attempt> = {}): Attempt {
  const task: Task = {
    id: 'task-1',
    queue: 'thumbnails',
    key: null,
    payload: Buffer.from('{}'),
    contentType: 'application/json',
    headers: [],
    owner: 'anonymous',
    lane: 0,
    acceptedAtMs: 0,
    budgetMs: 60_000,
    ...PLAIN_TASK,
    ...given,
  }
  const record = { topic: 't', partition: 0, offset: 0, timestampMs: 0, key: null, value: task.payload, headers: [] }
  return { task, record, number: 1, timeoutMs: 10_000, lost: NEVER, output: UNHEARD, ...over }
}

const UNHEARD: OutputSink = { chunk: () => Promise.resolve(true), progress: () => {} }

/** An output that a test reads, and whose chunks become durable when it says so. */
export class HeardOutput implements OutputSink {
  readonly said: (ChunkContent | { readonly kind: 'progress'; readonly fraction: number | null; message: string })[] =
    []
  readonly #unkept: ((kept: boolean) => void)[] = []
  #onSaid: (() => void)[] = []

  chunk(payload: Uint8Array, contentType: string): Promise<boolean> {
    this.#hear({ kind: 'chunk', payload, contentType })
    return new Promise((resolve) => this.#unkept.push(resolve))
  }

  progress(fraction: number | null, message: string): void {
    this.#hear({ kind: 'progress', fraction, message })
  }

  /** The oldest `count` of those that are not. */
  keep(count = this.#unkept.length): void {
    for (const resolve of this.#unkept.splice(0, count)) resolve(true)
  }

  /** Chunks as text. */
  get texts(): readonly string[] {
    return this.said.flatMap((one) => (one.kind === 'chunk' ? [Buffer.from(one.payload).toString()] : []))
  }

  async until(enough: (output: HeardOutput) => boolean): Promise<void> {
    while (!enough(this)) await new Promise<void>((resolve) => this.#onSaid.push(resolve))
  }

  #hear(one: HeardOutput['said'][number]): void {
    this.said.push(one)
    for (const wake of this.#onSaid.splice(0)) wake()
  }
}

/** A real grpc-js server that workers can dial in to, ended by leaving the block. */
export async function serveWorkers(over: Partial<WorkerSessionsOptions> = {}) {
  const sessions = new WorkerSessions({
    queues: new Map([
      ['thumbnails', { target: { kind: 'workers' } }],
      ['mails', { target: { kind: 'workers' } }],
      ['orders', { target: { kind: 'grpc' } }],
    ]),
    sessionsMax: 100,
    leaseMs: 5000,
    clock: systemClock,
    log: pino({ level: 'silent' }),
    metrics: createMetrics(),
    ...over,
  })
  const server = new Server(WORKER_SERVER_OPTIONS)
  server.addService(sessions.definition, sessions.handlers)
  const port = await listen(server)
  return {
    sessions,
    target: sessions.target('thumbnails'),
    address: `127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      await sessions.stop(AbortSignal.abort())
      server.forceShutdown()
    },
  }
}

export function listen(server: Server, port = 0, secured = ServerCredentials.createInsecure()): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, secured, (error, bound) => {
      if (error === null) resolve(bound)
      else reject(error)
    })
  })
}

/** The wire itself, without a worker's manners: says what the test tells it to. */
export class RawWorker {
  readonly call: ClientDuplexStream<Buffer, Buffer>
  readonly received: SessionResponse[] = []
  readonly ended: Promise<StatusObject>
  readonly #client: Client
  #onMessage: (() => void)[] = []

  constructor(address: string) {
    this.#client = new Client(address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 })
    const pass = (bytes: Buffer) => bytes
    this.call = this.#client.makeBidiStreamRequest('/forebay.worker.v1.WorkerService/Session', pass, pass)
    this.call.on('error', () => {})
    this.call.on('data', (bytes: Buffer) => {
      this.received.push(fromBinary(SessionResponseSchema, bytes))
      for (const wake of this.#onMessage.splice(0)) wake()
    })
    this.ended = new Promise((resolve) => this.call.on('status', resolve))
  }

  static hello(address: string, credits: number, queues: string[] = ['thumbnails']): RawWorker {
    const worker = new RawWorker(address)
    worker.say({ hello: { queues, worker: 'raw' }, credits })
    return worker
  }

  say(message: MessageInitShape<typeof SessionRequestSchema>): void {
    const full: SessionRequest = create(SessionRequestSchema, message)
    this.call.write(Buffer.from(toBinary(SessionRequestSchema, full)))
  }

  succeed(lease: number, text = 'done', contentType = 'text/plain'): void {
    const value = { payload: Buffer.from(text), contentType }
    this.say({ outcomes: [{ lease, end: { case: 'success', value } }] })
  }

  chunks(lease: number, ...payloads: readonly (string | Buffer)[]): void {
    const outputs = payloads.map((payload) => {
      const value = { payload: Buffer.from(payload), contentType: 'text/plain' }
      return { lease, content: { case: 'chunk' as const, value } }
    })
    this.say({ outputs })
  }

  progress(lease: number, value: { fraction?: number; message?: string }): void {
    this.say({ outputs: [{ lease, content: { case: 'progress', value } }] })
  }

  /** Chunks of a lease that the server has said to be durable. */
  kept(lease: number): number {
    const words = this.received.flatMap((message) => message.kept).filter((kept) => kept.lease === lease)
    return words.at(-1)?.chunks ?? 0
  }

  get attempts(): readonly WireAttempt[] {
    return this.received.flatMap((message) => message.attempts)
  }

  /** Resolves when what the server has said so far satisfies `enough`. */
  async until(enough: (worker: RawWorker) => boolean): Promise<void> {
    while (!enough(this)) {
      await new Promise<void>((resolve) => {
        this.#onMessage.push(resolve)
      })
    }
  }

  [Symbol.dispose](): void {
    this.call.cancel()
    this.#client.close()
  }
}

/** Resolves when the target has at least so many credits. */
export async function capacityOf(target: { capacity: number; onCapacity: () => void }, atLeast: number): Promise<void> {
  while (target.capacity < atLeast) {
    await new Promise<void>((resolve) => {
      target.onCapacity = resolve
    })
  }
}
