import { ForebayError } from '@forebay/protocol/errors'
import { ANONYMOUS } from './accept/principal.ts'
import { formatAddress } from './options/address.ts'
import { resolveEdge } from './options/edge-field.ts'
import { type Fault, Place, quote } from './options/field.ts'
import { type FileContext, type FileReader, fileReader } from './options/file-reader.ts'
import { parkingPlace } from './options/refuse-unparkable.ts'
import { resolveBlobs } from './options/resolve-blobs.ts'
import { resolveEvents } from './options/resolve-events.ts'
import { resolveQueues } from './options/resolve-queues.ts'
import { formatSize } from './options/size.ts'
import { resolveStore } from './options/store-field.ts'
import { resolveWebhooks } from './options/webhooks-field.ts'
import type { AuthOptions, Role, ServerOptions } from './options.ts'
import { type GivenOptions, optionsField, type ReadOptions } from './options-schema.ts'
import { LOG_OWNER, SCHEDULE_OWNER } from './records.ts'

export interface ResolveContext extends FileContext {
  /** Part of the default of `instance`. */
  readonly hostname: string
}

export type Resolution =
  | { readonly ok: true; readonly options: ServerOptions }
  | { readonly ok: false; readonly faults: readonly Fault[] }

/**
 * The given form, filled in and checked, or every fault that it has. Reads the files that it names, and nothing else.
 */
export function resolveOptions(given: unknown, context: ResolveContext): Resolution {
  const faults: Fault[] = []
  const place = new Place(faults)
  const read = optionsField.read(given, place)
  const options = resolveRead(read, place, context)
  return faults.length === 0 ? { ok: true, options } : { ok: false, faults }
}

/** The same for programs, which pass what the type allows; throws CONFIG_INVALID with every fault in its message. */
export function requireOptions(given: GivenOptions, context: ResolveContext): ServerOptions {
  const resolution = resolveOptions(given, context)
  if (resolution.ok) return resolution.options
  const lines = resolution.faults.map((fault) => `${fault.path.join('.')}: ${fault.message} ${fault.fix}`)
  throw new ForebayError('CONFIG_INVALID', lines.join('\n'))
}

function resolveRead(read: ReadOptions, place: Place, context: ResolveContext): ServerOptions {
  const files = fileReader(context)
  const { http, grpc } = read
  refuseSharedPort(read, place)
  if (http.acceptingMax < http.bodyMax) {
    const least = formatSize(http.bodyMax)
    const message = `A body of http.bodyMax (${least}) would never fit into ${formatSize(http.acceptingMax)}.`
    place.at('http', 'acceptingMax').refuse(http.acceptingMax, message, `Write ${least} or more.`)
  }
  const dataDir = files.absolute(read.data!, place.at('data'))
  const instance = read.instance ?? `${context.hostname}:${http.listen.port}`
  const broker = resolveBroker(read, place.at('kafka', 'tls'), files)
  const store = resolveStore(read.store, read.postgres.connections)
  const queues = resolveQueues(read, place.at('queues'), files, parkingPlace(broker, store))
  return {
    instance,
    roles: resolveRoles(read.roles, place.at('roles')),
    broker,
    store,
    blobs: resolveBlobs(read, dataDir, place.at('blobs'), files),
    dataDir,
    http: {
      ...http.listen,
      bodyBytesMax: http.bodyMax,
      waitMaxMs: http.waitMax,
      waitersMax: http.waitersMax,
      watchersMax: http.watchersMax,
      waitersPerPrincipalMax: http.waitersPerPrincipalMax,
      watchersPerPrincipalMax: http.watchersPerPrincipalMax,
      webSocketsMax: http.webSocketsMax,
      acceptingBytesMax: http.acceptingMax,
      docsOpen: http.docsOpen,
    },
    grpc: { ...grpc.listen, sessionsMax: grpc.sessionsMax, leaseMs: grpc.lease },
    auth: resolveAuth(read, place.at('auth', 'keys')),
    webhooks: resolveWebhooks(read, place.at('webhooks'), files),
    queues,
    events: resolveEvents(read, queues, place.at('events'), files),
    edge: resolveEdge(read, instance, place.at('edge'), files),
    partitions: read.partitions,
    retentionMs: read.retention,
    stopGraceMs: read.stopGrace,
  }
}

function refuseSharedPort({ http, grpc }: ReadOptions, place: Place): void {
  if (http.listen.port === 0 || http.listen.port !== grpc.listen.port) return
  if (http.listen.host !== grpc.listen.host && !isAnyHost(http.listen.host) && !isAnyHost(grpc.listen.host)) return
  const message = `http.listen has port ${http.listen.port} already.`
  place.at('grpc', 'listen').refuse(formatAddress(grpc.listen), message, 'Give each a port of its own.')
}

function isAnyHost(host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}

function resolveRoles(given: readonly Role[], place: Place): ReadonlySet<Role> {
  if (given.length === 0)
    place.refuse([], 'A process without roles does nothing.', 'Name at least one, or leave it out.')
  const roles = new Set(given)
  // It hears the results anyway; a store that is common to many takes each of them once.
  if (roles.has('gateway')) roles.add('recorder')
  return roles
}

function resolveBroker(read: ReadOptions, place: Place, files: FileReader): ServerOptions['broker'] {
  if (read.broker.kind === 'embedded') return read.broker
  const { tls, sasl, replicationFactor, fsync, compression } = read.kafka
  return {
    kind: 'kafka',
    bootstrap: read.broker.bootstrap,
    tls: tls && {
      ...tls,
      ...(tls.ca === undefined ? {} : { ca: files.existing(tls.ca, place.at('ca')) }),
      ...(tls.cert === undefined ? {} : { cert: files.existing(tls.cert, place.at('cert')) }),
      ...(tls.key === undefined ? {} : { key: files.existing(tls.key, place.at('key')) }),
    },
    sasl,
    replicationFactor,
    fsync,
    compression,
  }
}

function resolveAuth(read: ReadOptions, place: Place): AuthOptions {
  const seen = new Map<string, number>()
  const keys = read.auth.keys.map(({ principal, sha256, operator }, index) => {
    if (principal !== null && RESERVED_PRINCIPALS.has(principal)) {
      const message = `${quote(principal)} is a name of Forebay's own.`
      place.at(index, 'principal').refuse(principal, message, 'Use another name.')
    }
    const digest = (sha256 ?? '').toLowerCase()
    const earlier = seen.get(digest)
    if (earlier !== undefined && digest !== '') {
      place.at(index, 'sha256').refuse(sha256, `It is the key of entry ${earlier + 1} too.`, 'Make a key for each.')
    }
    seen.set(digest, index)
    return { principal: principal ?? '', sha256: digest, operator }
  })
  return { keys }
}

const RESERVED_PRINCIPALS: ReadonlySet<string> = new Set([ANONYMOUS, LOG_OWNER, SCHEDULE_OWNER])
