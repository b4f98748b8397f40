import {
  type Attempt,
  type CancelReason,
  grpcDefinition,
  type Outcome,
  type Output,
  type SessionRequest,
  type SessionResponse,
  type Welcome,
  WorkerService,
} from '@forebay/protocol'
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js'

/** The other side of the worker protocol, played by hand: a test says what it sends and reads what it got. */
export class WorkerServer implements AsyncDisposable {
  readonly port: number
  readonly sessions: PlayedSession[] = []
  readonly #server: Server
  readonly #waiting: ((session: PlayedSession) => void)[] = []
  #given = 0

  static async start(options: { welcome?: Partial<WelcomeFields>; port?: number } = {}): Promise<WorkerServer> {
    const server = new Server({ 'grpc.max_receive_message_length': 8 * 1024 * 1024 })
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${options.port ?? 0}`, ServerCredentials.createInsecure(), (error, bound) =>
        error ? reject(error) : resolve(bound),
      )
    })
    return new WorkerServer(server, port, options.welcome)
  }

  private constructor(server: Server, port: number, welcome: Partial<WelcomeFields> = {}) {
    this.port = port
    this.#server = server
    server.addService(grpcDefinition(WorkerService), {
      Session: (stream: ServerDuplexStream<SessionRequest, SessionResponse>) => {
        const session = new PlayedSession(stream, { ...WELCOME, ...welcome })
        this.sessions.push(session)
        this.#waiting.shift()?.(session)
      },
    })
  }

  get address(): string {
    return `127.0.0.1:${this.port}`
  }

  /** The next session that nobody has been given yet. */
  async session(): Promise<PlayedSession> {
    const index = this.#given++
    const session = this.sessions[index] ?? (await new Promise<PlayedSession>((resolve) => this.#waiting.push(resolve)))
    await session.until(() => session.hello !== undefined)
    return session
  }

  /** As a machine that goes away. */
  kill(): void {
    this.#server.forceShutdown()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill()
  }
}

type WelcomeFields = Omit<Welcome, '$typeName' | '$unknown'>

export const WELCOME: WelcomeFields = {
  heartbeatMs: 1_000,
  leaseMs: 5_000,
  resultBytesMax: 1024 * 1024,
  chunkBytesMax: 64 * 1024,
  chunkWindowBytes: 128 * 1024,
  chunksMax: 1_000,
  chunksBytesMax: 1024 * 1024,
}

export class PlayedSession {
  readonly stream: ServerDuplexStream<SessionRequest, SessionResponse>
  readonly frames: SessionRequest[] = []
  readonly outcomes: Outcome[] = []
  readonly outputs: Output[] = []
  hello: SessionRequest['hello']
  credits = 0
  draining = false
  halfClosed = false
  over = false
  #onChange: (() => void)[] = []
  #lease = 0

  constructor(stream: ServerDuplexStream<SessionRequest, SessionResponse>, welcome: WelcomeFields) {
    this.stream = stream
    stream.on('data', (frame: SessionRequest) => {
      this.frames.push(frame)
      if (frame.hello) this.hello = frame.hello
      this.credits += frame.credits
      this.draining ||= frame.draining
      this.outputs.push(...frame.outputs)
      this.outcomes.push(...frame.outcomes)
      this.#changed()
    })
    stream.on('error', () => {})
    stream.on('cancelled', () => {
      // grpc-js says so after every stream, also after one that ended well.
      this.over = true
      this.#changed()
    })
    stream.on('end', () => {
      this.halfClosed = true
      stream.end()
      this.#changed()
    })
    if (welcome.heartbeatMs > 0) {
      this.send({ welcome: { $typeName: 'forebay.worker.v1.Welcome', ...welcome } })
    }
  }

  send(message: Partial<Omit<SessionResponse, '$typeName'>>): void {
    this.stream.write({
      $typeName: 'forebay.worker.v1.SessionResponse',
      attempts: [],
      cancels: [],
      refused: [],
      drain: false,
      kept: [],
      ...message,
    })
  }

  /** Hands out attempts in one frame; answers with their leases. */
  give(...tasks: Partial<Omit<Attempt, '$typeName'>>[]): number[] {
    const attempts = tasks.map((task): Attempt => {
      const lease = ++this.#lease
      return {
        $typeName: 'forebay.worker.v1.Attempt',
        lease,
        taskId: `t${lease}`,
        number: 1,
        queue: 'echo',
        payload: new Uint8Array(0),
        contentType: 'application/octet-stream',
        headers: [],
        timeoutMs: 30_000,
        ...task,
      }
    })
    this.credits -= attempts.length
    this.send({ attempts })
    return attempts.map((attempt) => attempt.lease)
  }

  /** All chunks of this lease so far are durable, or so many of them. */
  keep(lease: number, chunks = this.chunks(lease).length): void {
    this.send({ kept: [{ $typeName: 'forebay.worker.v1.Kept', lease, chunks }] })
  }

  chunks(lease: number): { text: string; contentType: string }[] {
    return this.outputs.flatMap(({ lease: of, content }) =>
      of === lease && content.case === 'chunk'
        ? [{ text: Buffer.from(content.value.payload).toString(), contentType: content.value.contentType }]
        : [],
    )
  }

  progress(lease: number): { fraction: number | undefined; message: string }[] {
    return this.outputs.flatMap(({ lease: of, content }) =>
      of === lease && content.case === 'progress'
        ? [{ fraction: content.value.fraction, message: content.value.message }]
        : [],
    )
  }

  cancel(lease: number, reason: CancelReason): void {
    this.send({ cancels: [{ $typeName: 'forebay.worker.v1.Cancel', lease, reason }] })
  }

  async outcome(lease: number): Promise<Outcome['end']> {
    await this.until(() => this.outcomes.some((outcome) => outcome.lease === lease))
    return this.outcomes.find((outcome) => outcome.lease === lease)!.end
  }

  /** Until the worker has heard all that was sent so far: it answers a probe that was sent after it. */
  async heard(): Promise<void> {
    const [probe] = this.give({ queue: 'nobody' })
    await this.outcome(probe!)
    const index = this.outcomes.findIndex(({ lease }) => lease === probe)
    this.outcomes.splice(index, 1)
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resolve) => this.#onChange.push(resolve))
  }

  #changed(): void {
    const waiting = this.#onChange
    this.#onChange = []
    for (const resolve of waiting) resolve()
  }
}
