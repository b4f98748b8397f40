import type { AccessKey } from './accept/principal.ts'

/**
 * What a server runs by, filled in and checked. `forebay.yaml` is the given form; its schema and the function between
 * the two are in `options-schema.ts` and `resolve-options.ts`.
 */
export interface ServerOptions {
  /** Names this process in logs, and picks its lane. Default: host name and HTTP port. */
  readonly instance: string
  readonly roles: ReadonlySet<Role>
  readonly broker: BrokerOptions
  readonly store: StoreOptions
  /** Folder of what is embedded. Default './.forebay'. */
  readonly dataDir: string
  readonly http: HttpOptions
  readonly grpc: GrpcOptions
  readonly auth: AuthOptions
  readonly queues: ReadonlyMap<string, QueueOptions>
  /** Partitions of topics that have to be made. Default 12. */
  readonly partitions: number
  /** How long task and result records, and results in the store, are kept. Default 24 h. ms */
  readonly retentionMs: number
  /** First stage of a stop. Default 10 s. ms */
  readonly stopGraceMs: number
}

export type Role = 'gateway' | 'dispatcher' | 'recorder'

export type BrokerOptions =
  | { readonly kind: 'embedded' }
  | {
      readonly kind: 'kafka'
      readonly bootstrap: readonly string[]
      /** Passed to Node's TLS as they are. */
      readonly tls: KafkaTls | null
      readonly sasl: KafkaSasl | null
      /** For topics that have to be made. Default: 3, or the number of brokers if there are fewer. */
      readonly replicationFactor: number | null
      /** Makes topics flush each record to disk before acknowledging (profile `fsync`). Default false. */
      readonly fsync: boolean
    }

export interface KafkaTls {
  /** Files in PEM form. */
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  /** Default true. */
  readonly rejectUnauthorized?: boolean
}

export interface KafkaSasl {
  readonly mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512'
  readonly username: string
  readonly password: string
}

export interface StoreOptions {
  readonly kind: 'embedded'
}

export interface HttpOptions {
  readonly host: string
  /** 0 picks a free one. */
  readonly port: number
  /** Largest request body of any queue. Default 1 MiB, as Kafka's own default. bytes */
  readonly bodyBytesMax: number
  /** Longest `Prefer: wait`; longer ones are cut to it. Default 60 s. ms */
  readonly waitMaxMs: number
  /** Callers that may wait at once; beyond it the answer is 202 at once. Default 10,000. */
  readonly waitersMax: number
  /** Bytes of bodies that may be on their way into the log at once; beyond it 429. Default 64 MiB. */
  readonly acceptingBytesMax: number
}

export interface GrpcOptions {
  readonly host: string
  readonly port: number
  /** Worker sessions at once; beyond it RESOURCE_EXHAUSTED. Default 1,000. */
  readonly sessionsMax: number
  /** Silence after which a worker counts as lost. Default 15 s. ms */
  readonly leaseMs: number
}

export interface AuthOptions {
  /** Empty: everybody is the principal 'anonymous'. */
  readonly keys: readonly AccessKey[]
}

export interface QueueOptions {
  readonly name: string
  readonly topic: string
  /** A route of its own, beside POST /v1/queues/{queue}/tasks. */
  readonly route: RouteOptions | null
  /** Where the ordering key comes from when the caller sends no Forebay-Key header. */
  readonly key: KeySource | null
  readonly order: 'key' | 'none'
  readonly target: TargetOptions
  /** Attempts of this queue that run at once in one dispatcher. Default 1,000; workers' credits limit as well. */
  readonly concurrency: number
  /** Longest attempt. Default 30 s. ms */
  readonly timeoutMs: number
  /** From acceptance to the end of a task unless the caller asks for another. Default 24 h. ms */
  readonly deadlineMs: number
  readonly retry: RetryOptions
  /** JSON Schema (2020-12) that bodies must meet; null accepts any bytes. */
  readonly schema: object | null
  readonly bodyBytesMax: number
  readonly partitions: number
}

export interface RouteOptions {
  readonly method: 'POST' | 'PUT'
  /** '/orders/{customer}' */
  readonly path: string
  readonly parameters: readonly string[]
}

export type KeySource =
  | { readonly from: 'path'; readonly parameter: string }
  | { readonly from: 'header'; readonly header: string }
  /** RFC 6901, into a JSON body. */
  | { readonly from: 'body'; readonly pointer: string }

export type TargetOptions =
  | { readonly kind: 'workers' }
  | {
      readonly kind: 'grpc'
      /** host:port */
      readonly address: string
      /** Full name, 'shop.v1.Orders'. */
      readonly service: string
      readonly method: string
      readonly tls: boolean
      /** File with a FileDescriptorSet; null asks the server by reflection. */
      readonly descriptors: string | null
    }
  | { readonly kind: 'http'; readonly url: string }

export interface RetryOptions {
  /** Attempts in all. Default 5. */
  readonly attemptsMax: number
  /** From the first attempt on; no further attempt starts later. Default 10 min. ms */
  readonly withinMs: number
  /** First backoff; doubles with each attempt, with full jitter. Default 200 ms. */
  readonly backoffMs: number
  /** Default 30 s. ms */
  readonly backoffMaxMs: number
}
