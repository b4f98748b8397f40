import type { ErrorCode } from '@forebay/protocol'
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
  readonly blobs: BlobOptions
  /** Folder of what is embedded. Default './.forebay'. */
  readonly dataDir: string
  readonly http: HttpOptions
  readonly grpc: GrpcOptions
  readonly auth: AuthOptions
  readonly webhooks: WebhookOptions
  readonly queues: ReadonlyMap<string, QueueOptions>
  /** That callers may publish through this server, by name. Default: none. */
  readonly events: ReadonlyMap<string, EventTypeOptions>
  readonly edge: EdgeOptions
  /** Partitions of topics that have to be made. Default 12. */
  readonly partitions: number
  /** How long task and result records, and results in the store, are kept. Default 24 h. ms */
  readonly retentionMs: number
  /** First stage of a stop. Default 10 s. ms */
  readonly stopGraceMs: number
}

export type Role = 'gateway' | 'dispatcher' | 'recorder' | 'collector' | 'logs'

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
      /** Of batches that are published. Default 'none'. */
      readonly compression: KafkaCompression
    }

export const KAFKA_COMPRESSIONS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
export type KafkaCompression = (typeof KAFKA_COMPRESSIONS)[number]

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

export type StoreOptions =
  | { readonly kind: 'embedded' }
  /** postgres://user:password@host:port/database */
  | { readonly kind: 'postgres'; readonly url: string; readonly connectionsMax: number }
  /** redis://user:password@host:port/number */
  | { readonly kind: 'redis'; readonly url: string }

/** Bodies and answers too large for a record go here, and the record names them. */
export interface BlobOptions {
  /** Larger ones go out of the record. Default 512 KiB. bytes */
  readonly aboveBytes: number
  /** Largest answer of a worker or target where there is a place for large ones. Default 16 MiB. bytes */
  readonly resultBytesMax: number
  /** Default: a folder in `data` with the embedded broker; null keeps everything in records. */
  readonly place:
    | { readonly kind: 'folder'; readonly dir: string }
    | {
        readonly kind: 's3'
        readonly bucket: string
        /** Before each key; ends in '/' or is empty. */
        readonly prefix: string
        readonly region: string
        /** Null: AWS's own. */
        readonly endpoint: string | null
        /** Null: as AWS's SDK finds them. */
        readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string } | null
      }
    | null
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
  /** Streams (SSE, WebSocket, gRPC Watch) that may follow tasks at once; beyond it 429. Default 20,000. */
  readonly watchersMax: number
  /** The same for one principal, where keys are configured. Default 5,000. */
  readonly waitersPerPrincipalMax: number
  /** Default 10,000. */
  readonly watchersPerPrincipalMax: number
  /** WebSockets that may be open at once; beyond it 429. Default 10,000. */
  readonly webSocketsMax: number
  /** Bytes of bodies that may be on their way into the log at once; beyond it 429. Default 64 MiB. */
  readonly acceptingBytesMax: number
  /** Shows /openapi.json and /docs to callers without an access key as well. Default false. */
  readonly docsOpen: boolean
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

/** Calls to URLs of callers when their tasks have ended. */
export interface WebhookOptions {
  /** What calls are signed with, current first; empty: callbacks are refused. Secret. */
  readonly secrets: readonly string[]
  /** Instead of those, by principal. Secret. */
  readonly principals: ReadonlyMap<string, readonly string[]>
  /** Default 443. */
  readonly ports: ReadonlySet<number>
  /** Hosts, addresses and networks that may be called although they are not public. */
  readonly allow: readonly string[]
  /** Authorities to trust beside the well-known ones, PEM. */
  readonly ca: string | null
  /** Empty: the system's. */
  readonly dns: readonly string[]
  /** Longest call. Default 10 s. ms */
  readonly timeoutMs: number
  /** Between one call and the next; then the callback is given up. ms */
  readonly waitsMs: readonly number[]
  /** Calls of this process at once. Default 64. */
  readonly concurrency: number
  /** Calls to one host at once. Default 4. */
  readonly perHost: number
}

export interface EventTypeOptions {
  /** `type` of the CloudEvent. */
  readonly name: string
  readonly topic: string
  /** Of a topic that has to be made. */
  readonly partitions: number
  /** The same. Default 7 days. ms */
  readonly retentionMs: number
  /** JSON Schemas (2020-12) by version; where there are any, other versions are refused. */
  readonly schemas: ReadonlyMap<number, object>
}

/** Access logs; `@forebay/edge` does what they say. */
export interface EdgeOptions {
  /** Of this collector, in rows. Default: `instance`. */
  readonly name: string
  readonly files: readonly {
    readonly path: string
    readonly format: EdgeFormat
    readonly from: 'start' | 'end'
  }[]
  /** Null: not there. */
  readonly syslog: {
    readonly udp: EdgeAddress | null
    readonly tcp: EdgeAddress | null
    readonly unix: string | null
    readonly format: EdgeFormat
  }
  readonly http: { readonly listen: EdgeAddress | null; readonly unix: string | null }
  /** Topics that may be produced to. */
  readonly produce: readonly string[]
  /** Null: what the collector knows as usual names. */
  readonly redact: {
    readonly parameters: readonly string[] | 'all' | null
    readonly client: 'keep' | 'network' | 'drop'
    readonly members: readonly string[] | null
  }
  /** Default 1 GiB, 'refuse'. */
  readonly spool: { readonly bytesMax: number; readonly whenFull: 'refuse' | 'drop-oldest' }
  readonly topic: string
  /** Of the logs of services. */
  readonly logsTopic: string
  /** Where rows are kept for queries. */
  readonly logs: {
    /** Default 'auto': where this process collects and the log is embedded. */
    /** An address of PostgreSQL is common to all processes; it may hold a password. */
    readonly store: 'auto' | 'local' | 'none' | `postgres${string}`
    /** Null: `logs` in the data folder. */
    readonly directory: string | null
    /** Default 30 days. ms */
    readonly retentionMs: number
    /** Default 10 GiB. */
    readonly bytesMax: number
  }
  /** Of topics that have to be made. Default 7 days. ms */
  readonly retentionMs: number
}

type EdgeFormat = 'json' | 'combined' | 'common' | 'log'

interface EdgeAddress {
  readonly host: string
  readonly port: number
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
  /**
   * Attempts of this queue that run at once. Default 1,000; workers' credits limit as well. Each dispatcher takes the
   * share of the partitions that it owns, and at least one.
   */
  readonly concurrency: number
  /** Attempts that begin in a second, shared in the same way; null for no limit. */
  readonly rate: Rate | null
  /** The same for the tasks of one key; with `order: key` one of a key runs at a time anyway. */
  readonly perKey: { readonly concurrency: number | null; readonly rate: Rate | null }
  /** Among whom capacity is shared evenly; null: first come, first served (within a priority). */
  readonly fairness: FairnessOptions | null
  /** Longest attempt. Default 30 s. ms */
  readonly timeoutMs: number
  /** From acceptance to the end of a task unless the caller asks for another. Default 24 h. ms */
  readonly deadlineMs: number
  readonly retry: RetryOptions
  /** Null never opens. */
  readonly breaker: BreakerOptions | null
  /** What becomes of a task whose caller waits for its result and goes away before it is there. Default 'continue'. */
  readonly onClientGone: 'continue' | 'cancel'
  /** What becomes of a task whose attempts are used up. Default 'dead'; 'park' also halts its key. */
  readonly onExhausted: 'dead' | 'park'
  readonly schedule: readonly ScheduleOptions[]
  readonly idempotency: IdempotencyOptions
  /** Each result is copied there for other services; null for none. Several queues may share one. */
  readonly resultTopic: string | null
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
  /** 'full': evenly between 0 and the step. 'none': the step itself. Default 'full'. */
  readonly jitter: 'full' | 'none'
  /** Codes of failures that are tried again; null: whatever the worker or target calls retryable. */
  readonly on: ReadonlySet<ErrorCode> | null
  /**
   * Most retries for each first attempt, over `BUDGET_WINDOW_MS`, so that a failing dependency is not trampled on.
   * Default 0.1; null for no such limit. A handful is always free.
   */
  readonly budget: number | null
}

export interface Rate {
  readonly count: number
  readonly perMs: number
}

export interface FairnessOptions {
  readonly by: { readonly from: 'owner' } | { readonly from: 'key' } | Exclude<KeySource, { readonly from: 'path' }>
  /** Share of a flow by name; 1 for those that are not named. */
  readonly weights: ReadonlyMap<string, number>
}

export interface BreakerOptions {
  /** Opens when so large a share of attempts failed for the target's fault. Default 0.5. */
  readonly failureShare: number
  /** Among at least so many within `windowMs`. Default 20. */
  readonly attemptsMin: number
  /** Default 10 s. ms */
  readonly windowMs: number
  /** Then so long nothing begins. Default 5 s. ms */
  readonly openMs: number
  /** Then so many attempts at once try whether it is better. Default 3. */
  readonly probes: number
}

export interface ScheduleOptions {
  readonly name: string
  /** Five fields, or six with seconds first. */
  readonly cron: string
  /** IANA name. Default 'UTC'. */
  readonly timeZone: string
  readonly body: Uint8Array
  readonly contentType: string
  readonly key: string | null
  /** Fires that came while no dispatcher ran. Default 'once'. */
  readonly missed: 'skip' | 'once' | 'all'
}

export interface IdempotencyOptions {
  /** Refuses tasks without an Idempotency-Key. Default false. */
  readonly required: boolean
  /** How long a key stands for its task. Default: `retention`. ms */
  readonly windowMs: number
}
