import { lookup } from 'node:dns/promises'
import type { Clock, Random } from '@forebay/broker'
import { ForebayError, toForebayError } from '@forebay/protocol'
import { type CallOptions, Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { essenceOf, isJson } from '../media-type.ts'
import type { TargetOptions } from '../options.ts'
import type { Attempt, Outcome } from '../task.ts'
import { AddressPool, type Place } from './address-pool.ts'
import { protocolFault, resultTooLarge } from './attempt-outcome.ts'
import { cutText, MESSAGE_BYTES_MAX } from './cut-text.ts'
import { decodeJsonResponse, encodeJsonRequest } from './grpc-json.ts'
import { type Answer, readStream } from './grpc-stream.ts'
import type { MethodDescriptor } from './method-descriptor.ts'
import { type MethodSource, methodByReflection, methodFromFile } from './method-source.ts'
import { type Cut, type OpenAttempt, OpenAttempts, outcomeOfCut } from './open-attempts.ts'
import { retryDelayMs } from './retry-info.ts'
import { STATUS_TABLE, statusName } from './status-table.ts'
import type { Target } from './target.ts'
import { isPrintable, traceHeaders } from './trace-headers.ts'
import { isUnreachable } from './unreachable.ts'

export interface GrpcTargetOptions {
  readonly target: Extract<TargetOptions, { readonly kind: 'grpc' }>
  readonly resultBytesMax: number
  /** All addresses of a host name. Default: the system's resolver. */
  readonly lookUp?: (host: string) => Promise<readonly string[]>
  readonly clock: Clock
  readonly random: Random
}

/**
 * Calls one method of any gRPC server with each task, unary or server-streaming. A JSON task becomes the method's request
 * message and its response becomes JSON; a protobuf task passes as it is, and so does its response. `STATUS_TABLE` tells what a status
 * means; the attempt's time goes out as `grpc-timeout`, with `forebay-task`, `forebay-attempt` and the trace context.
 */
export class GrpcTarget implements Target {
  onCapacity: () => void = () => {}
  readonly #options: GrpcTargetOptions
  readonly #worker: string
  readonly #path: string
  readonly #source: MethodSource
  readonly #addresses: AddressPool<Client>
  readonly #open: OpenAttempts
  #stopping = false
  /** Nobody says what the method is: protobuf passes as to a unary one. */
  #undescribed = false

  /** @throws ForebayError CONFIG_INVALID: the descriptor file is not usable. */
  constructor(options: GrpcTargetOptions) {
    const { clock, random, lookUp = systemLookUp } = options
    const { address, service, method, descriptors } = options.target
    this.#options = options
    this.#worker = `grpc://${address}`
    this.#path = `/${service}/${method}`
    this.#source =
      descriptors === null
        ? methodByReflection(address, service, method, clock)
        : methodFromFile(descriptors, service, method)
    const { host, port } = hostAndPort(address)
    const connect = (to: string) => this.#connect(to, host)
    const close = (client: Client) => client.close()
    this.#addresses = new AddressPool({ host, port, lookUp, connect, close, clock, random })
    this.#open = new OpenAttempts(clock)
  }

  get capacity(): number {
    return this.#stopping ? 0 : this.#addresses.room
  }

  run(attempt: Attempt): Promise<Outcome> {
    if (attempt.lost.aborted) return Promise.resolve(outcomeOfCut('assignment-lost', this.#worker))
    if (this.#stopping) return Promise.resolve(this.#unavailable('This server is about to stop.'))
    const { promise, resolve } = Promise.withResolvers<Outcome>()
    const running: RunningCall = {
      attempt,
      tick: 0,
      call: null,
      timedOut: false,
      cut: (why: Cut) => {
        running.timedOut = why === 'timed-out'
        resolve(outcomeOfCut(why, this.#worker))
        running.call?.cancel()
      },
    }
    this.#open.add(running)
    this.#attempt(running).then((outcome) => {
      if (this.#open.remove(running)) resolve(outcome)
      this.onCapacity()
    })
    return promise
  }

  cancel(attempt: Attempt): void {
    this.#open.cancel(attempt)
  }

  async stop(signal: AbortSignal): Promise<void> {
    this.#stopping = true
    await this.#open.stop(signal)
    this.#addresses.close()
  }

  /** Never rejects. What could not even be sent is tried at other addresses before it counts as an attempt. */
  async #attempt(running: RunningCall): Promise<Outcome> {
    for (let tries = 1; ; tries++) {
      let place: Place<Client> | null
      try {
        place = await this.#addresses.take()
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        return this.#unavailable(`The address ${this.#options.target.address} leads nowhere: ${reason}`)
      }
      if (place === null) return this.#unavailable(`All addresses of ${this.#options.target.address} are busy.`)
      const { outcome, sent } = await this.#tryAt(place, running)
      if (sent || running.tick === 0 || tries === TRIES_MAX || !this.#addresses.healthy) return outcome
    }
  }

  /** `sent`: false when no connection could be had, so that the server cannot have seen the call. */
  async #tryAt(place: Place<Client>, running: RunningCall): Promise<{ outcome: Outcome; sent: boolean }> {
    let how: 'fine' | 'failed' | 'unreachable' = 'fine'
    try {
      const request = await this.#request(running.attempt, place.channel)
      // Its time may have come while the method was looked for.
      if (running.tick === 0) return { outcome: outcomeOfCut('timed-out', this.#worker), sent: false }
      const { error, outcome } = request.streams
        ? await this.#callStream(running, place.channel, request)
        : await this.#call(running, place.channel, request)
      if (error === null) return { outcome, sent: true }
      if (running.timedOut || STATUS_TABLE[statusName(error.code)].ails) how = 'failed'
      const sent = error.code !== status.UNAVAILABLE || !isUnreachable(place.channel)
      return { outcome: this.#failed(error), sent }
    } catch (thrown) {
      const error = toForebayError(thrown)
      return { outcome: this.#notCalled(error), sent: error.members.unreachable !== true }
    } finally {
      this.#addresses.release(place, isUnreachable(place.channel) ? 'unreachable' : how)
    }
  }

  /** @throws ForebayError: the task does not fit, or the method is not known (yet). */
  async #request({ task }: Attempt, client: Client): Promise<Request> {
    if (PROTOBUF.has(essenceOf(task.contentType))) {
      const { buffer, byteOffset, byteLength } = task.payload
      const bytes = Buffer.from(buffer, byteOffset, byteLength)
      return { bytes, json: null, contentType: task.contentType, streams: await this.#streams(client) }
    }
    if (!isJson(task.contentType)) {
      const shown = JSON.stringify(cutText(task.contentType, 64))
      const fix = 'send application/json, or the request message as application/protobuf'
      throw new ForebayError('TARGET_REFUSED', `This queue's target cannot take ${shown}; ${fix}.`)
    }
    const json = await this.#source.find(client)
    const encoded = encodeJsonRequest(task.payload, json)
    if (!encoded.ok) throw new ForebayError('TARGET_REFUSED', encoded.message)
    const streams = json.method.methodKind === 'server_streaming'
    return { bytes: encoded.bytes, json, contentType: 'application/json', streams }
  }

  /** Whether protobuf, which needs no descriptors for itself, goes to a method that streams. */
  async #streams(client: Client): Promise<boolean> {
    if (this.#undescribed) return false
    try {
      return (await this.#source.find(client)).method.methodKind === 'server_streaming'
    } catch (thrown) {
      const error = toForebayError(thrown)
      if (error.members.unreachable === true) throw error
      this.#undescribed = error.code === 'CONFIG_INVALID'
      return false
    }
  }

  #call(running: RunningCall, client: Client, request: Request): Promise<Answer> {
    const { attempt } = running
    return new Promise((resolve) => {
      const done = (error: ServiceError | null, bytes?: Buffer) =>
        resolve(
          error === null ? { error, outcome: this.#succeeded(bytes ?? EMPTY, request) } : { error, outcome: null },
        )
      const metadata = metadataOf(attempt)
      running.call = client.makeUnaryRequest(
        this.#path,
        pass,
        pass,
        request.bytes,
        metadata,
        this.#until(attempt),
        done,
      )
    })
  }

  #callStream(running: RunningCall, client: Client, { bytes, json, contentType }: Request): Promise<Answer> {
    const { attempt } = running
    const call = client.makeServerStreamRequest(
      this.#path,
      pass,
      pass,
      bytes,
      metadataOf(attempt),
      this.#until(attempt),
    )
    running.call = call
    return readStream({
      call,
      attempt,
      isOpen: () => running.tick !== 0,
      encode: (message) => (json === null ? message : this.#decode(message, json)),
      isJson: json !== null,
      contentType,
      resultBytesMax: this.#options.resultBytesMax,
      worker: this.#worker,
    })
  }

  #until({ timeoutMs }: Attempt): CallOptions {
    return { deadline: this.#options.clock.wallMs() + timeoutMs }
  }

  /** Throws on bytes that are not the response; then what we know of the method may be out of date. */
  #decode(bytes: Buffer, json: MethodDescriptor): Buffer {
    try {
      return decodeJsonResponse(bytes, json)
    } catch (error) {
      this.#source.forget()
      throw error
    }
  }

  #succeeded(bytes: Buffer, { json, contentType }: Request): Outcome {
    const { resultBytesMax } = this.#options
    let payload = bytes
    if (json !== null) {
      try {
        payload = this.#decode(bytes, json)
      } catch {
        return protocolFault(`The response is not a ${json.method.output.typeName}.`, this.#worker)
      }
    }
    if (payload.byteLength > resultBytesMax) return resultTooLarge(payload.byteLength, resultBytesMax, this.#worker)
    return { kind: 'succeeded', payload, contentType }
  }

  #failed(error: ServiceError): Outcome {
    const worker = this.#worker
    if (error.code === status.DEADLINE_EXCEEDED) return { kind: 'timed-out', worker }
    if (error.code === status.UNIMPLEMENTED) this.#source.forget()
    const name = statusName(error.code)
    if (name === 'RESOURCE_EXHAUSTED' && TOO_LARGE.test(error.details)) return this.#tooLarge(error.details)
    const { then, code } = STATUS_TABLE[name]
    const message = cutText(`${name}: ${error.details || 'the target gave no reason'}`, MESSAGE_BYTES_MAX)
    const failed = { kind: 'failed', code, message, then, worker } as const
    const [details] = error.metadata?.get('grpc-status-details-bin') ?? []
    const retryAfterMs = then === 'retry' && Buffer.isBuffer(details) ? retryDelayMs(details) : null
    return retryAfterMs === null ? failed : { ...failed, retryAfterMs }
  }

  /** Sizes do not change with another attempt. Ours is the limit that our own channel names. */
  #tooLarge(details: string): Outcome {
    const worker = this.#worker
    const { resultBytesMax } = this.#options
    if (details.includes(String(resultBytesMax))) return resultTooLarge(null, resultBytesMax, worker)
    const message = cutText(`The target does not take a request of this size: ${details}`, MESSAGE_BYTES_MAX)
    return { kind: 'failed', code: 'TARGET_REFUSED', message, then: 'final', worker }
  }

  #notCalled({ code, message }: ForebayError): Outcome {
    const then = code === 'TARGET_UNAVAILABLE' ? 'retry' : code === 'TARGET_REFUSED' ? 'final' : 'dead'
    return { kind: 'failed', code, message: cutText(message, MESSAGE_BYTES_MAX), then, worker: this.#worker }
  }

  #unavailable(message: string): Outcome {
    return { kind: 'failed', code: 'TARGET_UNAVAILABLE', message, then: 'retry', worker: this.#worker }
  }

  #connect(to: string, host: string): Client {
    const { address, tls } = this.#options.target
    return new Client(to, tls ? credentials.createSsl() : credentials.createInsecure(), {
      'grpc.max_receive_message_length': this.#options.resultBytesMax,
      'grpc.max_send_message_length': -1,
      // Attempts are this server's business; what is seen here is every single one.
      'grpc.enable_retries': 0,
      'grpc.service_config_disable_resolution': 1,
      // Its environment variables are not ours to read.
      'grpc.enable_http_proxy': 0,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.initial_reconnect_backoff_ms': RECONNECT_MS,
      'grpc.max_reconnect_backoff_ms': RECONNECT_MAX_MS,
      'grpc.default_authority': address,
      ...(tls ? { 'grpc.ssl_target_name_override': host } : {}),
    })
  }
}

interface RunningCall extends OpenAttempt {
  call: { cancel(): void } | null
  timedOut: boolean
}

interface Request {
  readonly bytes: Buffer
  /** Null when the task is protobuf already. */
  readonly json: MethodDescriptor | null
  /** Of the result, and of each chunk. */
  readonly contentType: string
  /** Whether the method answers with a stream. */
  readonly streams: boolean
}

function metadataOf({ task, number }: Attempt): Metadata {
  const metadata = new Metadata()
  if (isPrintable(task.id)) metadata.set('forebay-task', task.id)
  metadata.set('forebay-attempt', String(number))
  for (const [name, value] of Object.entries(traceHeaders(task))) metadata.set(name, value)
  return metadata
}

async function systemLookUp(host: string): Promise<readonly string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address)
}

function hostAndPort(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':')
  const host = address.slice(0, colon).replace(/^\[(.*)\]$/, '$1')
  const port = Number(address.slice(colon + 1))
  if (colon > 0 && host !== '' && Number.isInteger(port) && port > 0 && port < 65_536) return { host, port }
  throw new ForebayError('CONFIG_INVALID', `target: '${address}' is not a host:port.`)
}

function pass(bytes: Buffer): Buffer {
  return bytes
}

const EMPTY = Buffer.alloc(0)

const PROTOBUF: ReadonlySet<string> = new Set([
  'application/grpc',
  'application/grpc+proto',
  'application/protobuf',
  'application/x-protobuf',
])

/** In the words of grpc-js, Go, Java and C++. */
const TOO_LARGE = /larger than max|exceeds maximum/i

/** Addresses that one attempt tries while none can be reached. */
const TRIES_MAX = 4

const RECONNECT_MS = 200
const RECONNECT_MAX_MS = 5000
