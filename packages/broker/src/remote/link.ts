import { type ErrorCode, ForebayError, grpcDefinition, isErrorCode } from '@forebay/protocol'
import { LogService } from '@forebay/protocol/log'
import {
  Client,
  type ClientDuplexStream,
  connectivityState,
  Metadata,
  type MethodDefinition,
  type ServiceError,
  type StatusObject,
  status,
} from '@grpc/grpc-js'
import type { ResolvedRemote } from './options.ts'

/** How a call ended that did not end well. */
export class CallFailed extends Error {
  /** What the server itself said of it; null where nobody knows how far the call came. */
  readonly refusal: ForebayError | null

  constructor(refusal: ForebayError | null, message: string) {
    super(message)
    this.name = 'CallFailed'
    this.refusal = refusal
  }
}

/** The way to one server: a connection that comes back by itself. */
export class Link {
  readonly #options: ResolvedRemote
  #client: Client
  #closed = false

  constructor(options: ResolvedRemote) {
    this.#options = options
    this.#client = this.#connect()
  }

  /** Resolves once there is a connection. Rejects when the signal aborts, with its reason, or the link is closed. */
  async ready(signal: AbortSignal): Promise<void> {
    while (!this.#closed) {
      signal.throwIfAborted()
      const channel = this.#client.getChannel()
      const state = channel.getConnectivityState(true)
      if (state === connectivityState.READY) return
      await new Promise<void>((resolve, reject) => {
        const late = () => reject(signal.reason)
        signal.addEventListener('abort', late, { once: true })
        // A client that is closed meanwhile is told by an error, and looked at again.
        channel.watchConnectivityState(state, Number.POSITIVE_INFINITY, () => {
          signal.removeEventListener('abort', late)
          resolve()
        })
      })
    }
    throw closed()
  }

  /** Rejects with CallFailed; a deadline that passes (wall time, ms) is no refusal: the server may still do it. */
  call<Response>(name: MethodName, request: object, deadlineMs: number): Promise<Response> {
    const { path, requestSerialize, responseDeserialize } = DEFINITION[name] as MethodDefinition<object, Response>
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        this.#metadata(),
        { deadline: deadlineMs },
        (error, response) => (error === null ? resolve(response!) : reject(failureOf(error))),
      )
    })
  }

  stream<Request, Response>(name: MethodName): ClientDuplexStream<Request, Response> {
    const { path, requestSerialize, responseDeserialize } = DEFINITION[name] as MethodDefinition<Request, Response>
    return this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, this.#metadata())
  }

  /** Nothing is heard any more: whoever calls next gets a new connection. */
  renew(): void {
    if (this.#closed) return
    this.#client.close()
    this.#client = this.#connect()
  }

  close(): void {
    this.#closed = true
    this.#client.close()
  }

  #connect(): Client {
    return new Client(this.#options.server, this.#options.credentials, CHANNEL_OPTIONS)
  }

  #metadata(): Metadata {
    const metadata = new Metadata()
    if (this.#options.key !== null) metadata.set('authorization', `Bearer ${this.#options.key}`)
    return metadata
  }
}

export function failureOf({ code, details, metadata }: StatusObject | ServiceError): CallFailed {
  const [named] = metadata.get('forebay-error')
  const message = details === '' ? status[code] : details
  if (typeof named === 'string' && isErrorCode(named)) {
    return new CallFailed(new ForebayError(named, message), message)
  }
  const refused = REFUSALS.get(code)
  if (refused === undefined) return new CallFailed(null, `${status[code]}: ${message}`)
  return new CallFailed(new ForebayError(refused, `The server says ${status[code]}: ${message}`), message)
}

type MethodName = 'Open' | 'Publish' | 'Consume' | 'Listen' | 'Inspect'

const DEFINITION = grpcDefinition(LogService)

/** What servers say that know nothing of this service, and those in between. */
const REFUSALS: ReadonlyMap<status, ErrorCode> = new Map([
  [status.UNIMPLEMENTED, 'CONFIG_INVALID'],
  [status.UNAUTHENTICATED, 'UNAUTHENTICATED'],
  [status.PERMISSION_DENIED, 'FORBIDDEN'],
] as const)

const CHANNEL_OPTIONS = {
  // The server bounds its frames, and a record may be as large as the log takes.
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
  // What became of records that are sent is for us to tell.
  'grpc.enable_retries': 0,
  // Else a dead connection would be shared with the one that is to replace it.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.service_config_disable_resolution': 1,
  // Its environment variables are not ours to read.
  'grpc.enable_http_proxy': 0,
  'grpc.enable_channelz': 0,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  // Batches should not wait for window updates. bytes
  'grpc-node.flow_control_window': 4 * 1024 * 1024,
}

export function closed(): ForebayError {
  return new ForebayError('CLOSED', 'This broker is closed, or was not opened.')
}
