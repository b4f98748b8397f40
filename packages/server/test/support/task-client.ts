import { once } from 'node:events'
import { create, type DescMessage, type MessageInitShape } from '@bufbuild/protobuf'
import {
  CancelRequestSchema,
  type CancelResponse,
  GetRequestSchema,
  type GetResponse,
  grpcDefinition,
  SubmitAndWaitRequestSchema,
  type SubmitAndWaitResponse,
  SubmitRequestSchema,
  type SubmitResponse,
  type SubmitStreamRequest,
  SubmitStreamRequestSchema,
  type SubmitStreamResponse,
  TaskService,
  type WatchRequest,
  WatchRequestSchema,
  type WatchResponse,
} from '@forebay/protocol'
import {
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  type ServiceError,
} from '@grpc/grpc-js'
import type { GrpcDoor } from '../../src/accept/grpc-door.ts'
import { serverOptionsFor } from '../../src/execute/worker-server-options.ts'

/** TaskService on a port of its own, and a client of it. */
export interface TaskServer {
  readonly port: number
  readonly server: Server
  readonly client: Client
  readonly tasks: TaskClient
  close(): void
}

export async function serveTasks(door: GrpcDoor): Promise<TaskServer> {
  const server = new Server(serverOptionsFor(1_048_576))
  server.addService(door.definition, door.handlers)
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    )
  })
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure())
  return {
    port,
    server,
    client,
    tasks: new TaskClient(client),
    close() {
      client.close()
      server.forceShutdown()
    },
  }
}

export interface CallAs {
  /** Access key; '' sends none. */
  readonly key?: string
  /** ms; Infinity for no deadline. */
  readonly withinMs?: number
  readonly metadata?: Readonly<Record<string, string>>
  /** Cancels a unary call. */
  readonly signal?: AbortSignal
}

export class TaskClient {
  readonly #client: Client

  constructor(client: Client) {
    this.#client = client
  }

  submit(request: MessageInitShape<typeof SubmitRequestSchema>, as?: CallAs): Promise<SubmitResponse> {
    return this.#unary('Submit', SubmitRequestSchema, request, as)
  }

  submitAndWait(
    request: MessageInitShape<typeof SubmitAndWaitRequestSchema>,
    as?: CallAs,
  ): Promise<SubmitAndWaitResponse> {
    return this.#unary('SubmitAndWait', SubmitAndWaitRequestSchema, request, as)
  }

  get(request: MessageInitShape<typeof GetRequestSchema>, as?: CallAs): Promise<GetResponse> {
    return this.#unary('Get', GetRequestSchema, request, as)
  }

  cancel(request: MessageInitShape<typeof CancelRequestSchema>, as?: CallAs): Promise<CancelResponse> {
    return this.#unary('Cancel', CancelRequestSchema, request, as)
  }

  watch(request: MessageInitShape<typeof WatchRequestSchema>, as: CallAs = {}): Watching {
    const { path, requestSerialize, responseDeserialize } = METHODS.Watch!
    return new Watching(
      this.#client.makeServerStreamRequest<WatchRequest, WatchResponse>(
        path,
        requestSerialize,
        responseDeserialize,
        create(WatchRequestSchema, request),
        ...callOf(as),
      ),
    )
  }

  submitStream(as: CallAs = {}): Submitting {
    const { path, requestSerialize, responseDeserialize } = METHODS.SubmitStream!
    return new Submitting(
      this.#client.makeBidiStreamRequest<SubmitStreamRequest, SubmitStreamResponse>(
        path,
        requestSerialize,
        responseDeserialize,
        ...callOf(as),
      ),
    )
  }

  #unary<Request extends DescMessage, Response>(
    name: string,
    schema: Request,
    request: MessageInitShape<Request>,
    as: CallAs = {},
  ): Promise<Response> {
    const { path, requestSerialize, responseDeserialize } = METHODS[name]!
    return new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest<object, Response>(
        path,
        requestSerialize,
        responseDeserialize,
        create(schema, request),
        ...callOf(as),
        (error, response) => (error === null ? resolve(response!) : reject(error)),
      )
      as.signal?.addEventListener('abort', () => call.cancel())
    })
  }
}

/** The answers of a stream, gathered as they come. */
class Gathered<Response> {
  readonly got: Response[] = []
  /** How the stream ended: null for OK. */
  readonly ended: Promise<ServiceError | null>
  readonly #stream: ClientReadableStream<Response> | ClientDuplexStream<never, Response>

  constructor(stream: ClientReadableStream<Response> | ClientDuplexStream<never, Response>) {
    this.#stream = stream
    stream.on('data', (response: Response) => this.got.push(response))
    this.ended = new Promise((resolve) => {
      stream.on('error', (error: ServiceError) => resolve(error))
      stream.on('end', () => resolve(null))
    })
  }

  /** Once there are so many. */
  async first(count: number): Promise<readonly Response[]> {
    while (this.got.length < count) await once(this.#stream, 'data')
    return this.got
  }
}

export class Watching extends Gathered<WatchResponse> {
  readonly stream: ClientReadableStream<WatchResponse>

  constructor(stream: ClientReadableStream<WatchResponse>) {
    super(stream)
    this.stream = stream
  }

  /** In short, without heartbeats. */
  get said(): string[] {
    return this.got.map(said).filter((one) => one !== 'heartbeat')
  }
}

export class Submitting extends Gathered<SubmitStreamResponse> {
  readonly stream: ClientDuplexStream<SubmitStreamRequest, SubmitStreamResponse>

  constructor(stream: ClientDuplexStream<SubmitStreamRequest, SubmitStreamResponse>) {
    super(stream as unknown as ClientDuplexStream<never, SubmitStreamResponse>)
    this.stream = stream
  }

  send(request: MessageInitShape<typeof SubmitStreamRequestSchema>): boolean {
    return this.stream.write(create(SubmitStreamRequestSchema, request))
  }
}

function said({ event }: WatchResponse): string {
  if (event.case === 'chunk') return `chunk ${event.value.number} ${Buffer.from(event.value.payload)}`
  if (event.case === 'progress') return `progress ${event.value.fraction} ${event.value.message}`
  if (event.case === 'task') return `task ${event.value.state}`
  return event.case ?? 'nothing'
}

const METHODS = grpcDefinition(TaskService)

function callOf({ key = 'a', withinMs = 20_000, metadata = {} }: CallAs): [Metadata, { deadline: number }] {
  const sent = new Metadata()
  if (key !== '') sent.set('authorization', `Bearer ${key}`)
  for (const [name, value] of Object.entries(metadata)) sent.set(name, value)
  return [sent, { deadline: Date.now() + withinMs }]
}
