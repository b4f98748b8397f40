import { type Clock, type Random, systemClock, systemRandom } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import { type ChannelCredentials, credentials } from '@grpc/grpc-js'
import { type WorkerEvent, warnOfDisconnects } from './events.ts'
import type { Handler } from './task.ts'

export interface WorkerOptions {
  /** Where servers listen for workers, 'host:port'. */
  readonly server: string | readonly string[]
  /**
   * With several addresses: 'each' keeps a session with every server, as several dispatchers need, which hand their tasks
   * only to workers that dialled them; those that are there share the slots evenly. 'first' keeps one session and tries
   * the next address when that is gone, as for a gateway with a stand-by. Default 'each', and 'first' where there are
   * fewer slots (`concurrency`) than addresses.
   */
  readonly sessions?: 'each' | 'first'
  /** A handler for each queue this worker serves. */
  readonly queues: Readonly<Record<string, Handler>>
  /** Attempts under way at once, over all queues. Default 16, at most 10,000. Raise it for handlers that mostly wait. */
  readonly concurrency?: number
  /** A name for people, in logs and in a task's history. Default: the address the server sees. */
  readonly name?: string
  /** The worker's own version, for people. */
  readonly version?: string
  /** `true` trusts the system's authorities. Default: no TLS. */
  readonly tls?: true | WorkerTls
  /** grpc-js credentials, where `tls` is not enough. */
  readonly credentials?: ChannelCredentials
  /** Default: warns on the console when there is no connection. An error thrown in here is dropped. */
  readonly onEvent?: (event: WorkerEvent) => void
  readonly clock?: Clock
  readonly random?: Random
}

/** PEM. */
export interface WorkerTls {
  readonly ca?: string | Buffer
  readonly cert?: string | Buffer
  readonly key?: string | Buffer
}

export interface ResolvedWorkerOptions {
  readonly addresses: readonly string[]
  readonly sessions: 'each' | 'first'
  readonly handlers: ReadonlyMap<string, Handler>
  readonly concurrency: number
  readonly name: string
  readonly version: string
  readonly credentials: ChannelCredentials
  readonly onEvent: (event: WorkerEvent) => void
  readonly clock: Clock
  readonly random: Random
}

/** Throws a ForebayError CONFIG_INVALID that names the option, the value and what is right. */
export function resolveWorkerOptions(given: WorkerOptions): ResolvedWorkerOptions {
  const addresses = resolveAddresses(given.server)
  const concurrency = resolveConcurrency(given.concurrency ?? CONCURRENCY_DEFAULT)
  return {
    addresses,
    sessions: resolveSessions(given.sessions, addresses.length, concurrency),
    handlers: resolveHandlers(given.queues),
    concurrency,
    name: given.name ?? '',
    version: given.version ?? '',
    credentials: given.credentials ?? resolveTls(given.tls),
    onEvent: quietly(given.onEvent ?? warnOfDisconnects()),
    clock: given.clock ?? systemClock,
    random: given.random ?? systemRandom,
  }
}

const CONCURRENCY_DEFAULT = 16
/** The server clamps what is open in one session to this. */
const CONCURRENCY_MAX = 10_000

function resolveAddresses(server: string | readonly string[]): readonly string[] {
  const addresses = typeof server === 'string' ? [server] : [...(server ?? [])]
  if (addresses.length === 0) throw invalid('server', server, "name at least one 'host:port'")
  for (const address of addresses) {
    const match = HOST_PORT.exec(address)
    if (match === null || Number(match[1]) > 65_535) {
      throw invalid('server', address, "must be 'host:port', without a scheme")
    }
  }
  return addresses
}

/** A name, an IPv4 address or an IPv6 address in brackets, and a port. */
const HOST_PORT = /^(?:[^\s/:]+|\[[0-9a-f:.]+\]):(\d{1,5})$/i

function resolveHandlers(queues: Readonly<Record<string, Handler>>): ReadonlyMap<string, Handler> {
  const handlers = new Map(Object.entries(queues ?? {}))
  if (handlers.size === 0) throw invalid('queues', queues, 'name at least one queue and its handler')
  for (const [queue, handler] of handlers) {
    if (typeof handler !== 'function') throw invalid(`queues.${queue}`, handler, 'must be a function')
  }
  return handlers
}

function resolveConcurrency(concurrency: number): number {
  if (Number.isInteger(concurrency) && concurrency >= 1 && concurrency <= CONCURRENCY_MAX) return concurrency
  throw invalid('concurrency', concurrency, `must be a whole number from 1 to ${CONCURRENCY_MAX}`)
}

function resolveSessions(given: unknown, addresses: number, concurrency: number): 'each' | 'first' {
  if (given === undefined) return concurrency < addresses ? 'first' : 'each'
  if (given !== 'each' && given !== 'first') throw invalid('sessions', given, "must be 'each' or 'first'")
  if (given === 'first' || concurrency >= addresses) return given
  throw invalid('sessions', given, `needs a concurrency of at least ${addresses}, a slot for each address`)
}

function resolveTls(tls: true | WorkerTls | undefined): ChannelCredentials {
  if (tls === undefined) return credentials.createInsecure()
  if (tls === true) return credentials.createSsl()
  return credentials.createSsl(pem(tls.ca), pem(tls.key), pem(tls.cert))
}

function pem(text: string | Buffer | undefined): Buffer | null {
  return text === undefined ? null : Buffer.from(text as string)
}

function quietly(onEvent: (event: WorkerEvent) => void): (event: WorkerEvent) => void {
  return (event) => {
    try {
      onEvent(event)
    } catch {
      // A logger that throws must not end a session.
    }
  }
}

function invalid(field: string, value: unknown, fix: string): ForebayError {
  const shown = typeof value === 'object' ? JSON.stringify(value) : String(value)
  return new ForebayError('CONFIG_INVALID', `createWorker: ${field}: ${fix}, got ${shown}.`, { members: { field } })
}
