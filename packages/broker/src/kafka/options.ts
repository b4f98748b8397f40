import type { ConnectionOptions as TlsOptions } from 'node:tls'
import { ForebayError } from '@forebay/protocol'
import type { SASLOptions } from '@platformatic/kafka'
import { type Clock, systemClock } from '../clock.ts'
import { type Random, systemRandom } from '../random.ts'

export interface KafkaBrokerOptions {
  /** Addresses to start from, `host:port`; the rest of the cluster is learnt from them. */
  readonly bootstrap: readonly string[]
  /** What Kafka's logs and quotas call us. Default 'forebay'. */
  readonly clientId?: string
  /** TLS to every broker, with Node's options (`{}` is enough for a public certificate). Default: none. */
  readonly tls?: TlsOptions
  /** SASL to every broker: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER, with its credentials. Default: none. */
  readonly sasl?: SASLOptions
  /** A publish that is not acknowledged by then rejects. Default 10,000 ms; keep it above the brokers' session timeout. */
  readonly publishTimeoutMs?: number
  /** How often settled positions are committed. Default 1,000 ms; what was settled since may come again after a crash. */
  readonly commitIntervalMs?: number
  /** How long a consumer may be silent before its partitions go to others. Default 10,000 ms. */
  readonly sessionTimeoutMs?: number
  /** Copies of topics that we make. Default 3, or the number of brokers where there are fewer. */
  readonly replicationFactor?: number
  /** Topics that we make are flushed to disk record by record (`flush.messages=1`): survives power loss of all replicas. */
  readonly fsync?: boolean
  /** Largest record, key + value + headers. Default 1 MiB. */
  readonly recordBytesMax?: number
  /**
   * How batches are compressed; one that would not become smaller goes as it is. Default 'none'. Whatever others chose
   * is read.
   */
  readonly compression?: KafkaCompression
  /** 'classic' (default); 'consumer' is KIP-848 and refused for now, see `resolveKafkaOptions`. */
  readonly groupProtocol?: 'classic' | 'consumer'
  /** Told of whatever an operator should know and no caller can be told. Default: nobody. */
  readonly onWarning?: (text: string, details: Readonly<Record<string, unknown>>) => void
  readonly clock?: Clock
  readonly random?: Random
}

export const KAFKA_COMPRESSIONS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
export type KafkaCompression = (typeof KAFKA_COMPRESSIONS)[number]

export interface KafkaSettings {
  readonly bootstrap: readonly Address[]
  readonly clientId: string
  readonly tls: TlsOptions | undefined
  readonly sasl: SASLOptions | undefined
  readonly publishTimeoutMs: number
  readonly commitIntervalMs: number
  readonly sessionTimeoutMs: number
  readonly replicationFactor: number | undefined
  readonly fsync: boolean
  readonly recordBytesMax: number
  readonly compression: KafkaCompression
  readonly onWarning: (text: string, details: Readonly<Record<string, unknown>>) => void
  readonly clock: Clock
  readonly random: Random
}

export interface Address {
  readonly host: string
  readonly port: number
}

export const PUBLISH_TIMEOUT_MS_DEFAULT = 10_000
export const COMMIT_INTERVAL_MS_DEFAULT = 1_000
export const SESSION_TIMEOUT_MS_DEFAULT = 10_000
export const RECORD_BYTES_MAX_DEFAULT = 1024 * 1024

export function resolveKafkaOptions(given: KafkaBrokerOptions): KafkaSettings {
  if (given.bootstrap.length === 0)
    throw invalid('bootstrap', 'needs at least one address such as "127.0.0.1:9092"', '')
  if (given.groupProtocol === 'consumer') {
    throw invalid(
      'groupProtocol',
      'KIP-848 is not offered yet; use "classic", which hands over faster with a broker\'s default settings',
      'consumer',
    )
  }
  if (given.compression !== undefined && !KAFKA_COMPRESSIONS.includes(given.compression)) {
    throw invalid('compression', `must be one of ${KAFKA_COMPRESSIONS.join(', ')}`, given.compression)
  }
  const clock = given.clock ?? systemClock
  return Object.freeze({
    bootstrap: given.bootstrap.map(parseAddress),
    clientId: given.clientId ?? 'forebay',
    tls: given.tls,
    sasl: given.sasl,
    publishTimeoutMs: atLeast('publishTimeoutMs', 100, given.publishTimeoutMs ?? PUBLISH_TIMEOUT_MS_DEFAULT),
    commitIntervalMs: atLeast('commitIntervalMs', 1, given.commitIntervalMs ?? COMMIT_INTERVAL_MS_DEFAULT),
    sessionTimeoutMs: atLeast('sessionTimeoutMs', 1000, given.sessionTimeoutMs ?? SESSION_TIMEOUT_MS_DEFAULT),
    replicationFactor:
      given.replicationFactor === undefined ? undefined : atLeast('replicationFactor', 1, given.replicationFactor),
    fsync: given.fsync ?? false,
    recordBytesMax: atLeast('recordBytesMax', 1, given.recordBytesMax ?? RECORD_BYTES_MAX_DEFAULT),
    compression: given.compression ?? 'none',
    onWarning: sayOnceAWhile(given.onWarning ?? (() => {}), clock),
    clock,
    random: given.random ?? systemRandom,
  })
}

/** What is tried again every second is said again every ten. */
const SAME_WARNING_MS = 10_000
const WARNINGS_KEPT = 1_000

function sayOnceAWhile(say: KafkaSettings['onWarning'], clock: Clock): KafkaSettings['onWarning'] {
  const said = new Map<string, number>()
  return (text, details) => {
    const key = `${text} ${details.group} ${details.topic} ${details.partition}`
    const nowMs = clock.monotonicMs()
    if (nowMs - (said.get(key) ?? Number.NEGATIVE_INFINITY) < SAME_WARNING_MS) return
    if (said.size >= WARNINGS_KEPT) said.clear()
    said.set(key, nowMs)
    say(text, details)
  }
}

function parseAddress(text: string): Address {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (match === null || port < 1 || port > 65_535) throw invalid('bootstrap', 'must be host:port', text)
  return { host: (match[1] ?? match[2])!, port }
}

function atLeast(field: string, least: number, value: number): number {
  if (!Number.isInteger(value) || value < least) throw invalid(field, `must be a whole number from ${least} on`, value)
  return value
}

function invalid(field: string, fix: string, value: string | number): ForebayError {
  return new ForebayError('CONFIG_INVALID', `Kafka option '${field}' (${JSON.stringify(value)}): ${fix}.`, {
    members: { field, value },
  })
}
