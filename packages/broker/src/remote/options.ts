import { ForebayError } from '@forebay/protocol'
import { type ChannelCredentials, credentials } from '@grpc/grpc-js'
import { type Clock, systemClock } from '../clock.ts'
import { type Random, systemRandom } from '../random.ts'

export interface ForebayBrokerOptions {
  /** The gRPC address of a Forebay server with the role `gateway`, 'host:port'. */
  readonly server: string
  /** An access key of that server. Needed where it has any (`auth.keys`). */
  readonly key?: string
  /** `true` trusts the system's authorities. Default: no TLS. */
  readonly tls?: true | ForebayTls
  /** How long `publish` tries, in ms. Default 30,000. */
  readonly publishTimeoutMs?: number
  readonly clock?: Clock
  readonly random?: Random
}

/** PEM. */
export interface ForebayTls {
  readonly ca?: string | Uint8Array
  readonly cert?: string | Uint8Array
  readonly key?: string | Uint8Array
}

export interface ResolvedRemote {
  readonly server: string
  readonly key: string | null
  readonly credentials: ChannelCredentials
  readonly publishTimeoutMs: number
  readonly clock: Clock
  readonly random: Random
}

/** Throws CONFIG_INVALID, which names the option, the value and what is right. */
export function resolveRemote(given: ForebayBrokerOptions): ResolvedRemote {
  const { server, key, publishTimeoutMs = 30_000 } = given
  const port = HOST_PORT.exec(server)?.[1]
  if (port === undefined || Number(port) > 65_535) {
    throw invalid('server', `'${server}' is not 'host:port'; give the gRPC address of a server, without a scheme.`)
  }
  // The key itself is not shown.
  if (key !== undefined && !KEY.test(key)) {
    throw invalid('key', 'it is no access key: 1 to 4,096 characters, without spaces.')
  }
  if (!Number.isSafeInteger(publishTimeoutMs) || publishTimeoutMs < 1) {
    throw invalid('publishTimeoutMs', `${publishTimeoutMs} is not a whole number above 0.`)
  }
  return Object.freeze({
    server,
    key: key ?? null,
    credentials: credentialsFor(given.tls),
    publishTimeoutMs,
    clock: given.clock ?? systemClock,
    random: given.random ?? systemRandom,
  })
}

/** A name, an IPv4 address or an IPv6 address in brackets, and a port. */
const HOST_PORT = /^(?:[^\s/:]+|\[[0-9a-f:.]+\]):(\d{1,5})$/i
/** What a server takes behind "Bearer". */
const KEY = /^[\x21-\x7e]{1,4096}$/

function credentialsFor(tls: true | ForebayTls | undefined): ChannelCredentials {
  if (tls === undefined) return credentials.createInsecure()
  if (tls === true) return credentials.createSsl()
  return credentials.createSsl(pem(tls.ca), pem(tls.key), pem(tls.cert))
}

function pem(text: string | Uint8Array | undefined): Buffer | null {
  return text === undefined ? null : Buffer.from(text as string)
}

function invalid(field: string, why: string): ForebayError {
  return new ForebayError('CONFIG_INVALID', `forebayBroker: ${field}: ${why}`, { members: { field } })
}
