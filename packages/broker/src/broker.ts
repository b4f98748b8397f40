import { type ErrorCode, ForebayError } from '@forebay/protocol/errors'

/**
 * The port to a durable log. Topics have partitions; a partition is an ordered list of records with growing offsets
 * (gaps are allowed). At least once; nothing is lost once `publish` has resolved.
 *
 * Six methods. What adapters differ in is data: `capabilities`, read by the runtime and by the contract suite alike.
 */
export interface Broker {
  readonly capabilities: BrokerCapabilities

  /**
   * Reaches the log and makes sure that the topics exist; a topic that exists keeps the partitions and settings it
   * has. Called before anything else; afterwards it may be called again, for further topics.
   * Throws BROKER_UNAVAILABLE (it says which address and why), DATA_IN_USE, DATA_CORRUPT.
   */
  open(request: OpenRequest): Promise<void>

  /**
   * Resolves when every record is durable in the sense of `capabilities.durability`, with their positions in the
   * order given. Records of one partition keep the order of the calls. Concurrent calls share appends.
   * The bytes are the broker's from the call on: nobody may change them.
   * Rejects with PublishError, which names each record that is not known to be durable and whether it can have been
   * appended, after `publishTimeoutMs` (an option of the adapter) at the latest.
   */
  publish(records: readonly RecordToPublish[]): Promise<readonly Position[]>

  /** Takes part in a group. Each partition has one owner at a time; the group keeps the position. */
  consume(request: ConsumeRequest): Promise<Subscription>

  /**
   * Reads one partition without a group, from `from` on and for ever. When the promise resolves the place is fixed:
   * whatever is published afterwards is heard.
   */
  listen(request: ListenRequest): Promise<Listener>

  /** How far topics reach and how far a group has come; of a topic that is not there, nothing. Costs a request to the log. */
  inspect(request: InspectRequest): Promise<readonly PartitionState[]>

  /** Ends every subscription and listener, finishes what is being published, lets go of files and sockets. */
  close(): Promise<void>
}

export interface BrokerCapabilities {
  readonly name: 'embedded' | 'kafka' | 'remote'
  /** What an acknowledged record survives; see promise P1. */
  readonly durability: 'embedded' | 'replicated' | 'fsync'
  /** Whether several processes may share it. */
  readonly shared: boolean
  /** What the group's position remembers: each finished record, or only up to the first unfinished one. */
  readonly doneSetSurvivesRestart: boolean
  /** Largest record, in bytes of key + value + headers. */
  readonly recordBytesMax: number
}

export interface OpenRequest {
  readonly topics: readonly TopicSpec[]
  readonly signal?: AbortSignal
}

export interface TopicSpec {
  readonly name: string
  /** Used when the topic has to be made. */
  readonly partitions: number
  /** How long records are kept, in ms; 'forever' for small topics that are read from the start. */
  readonly retentionMs: number | 'forever'
}

/** Name and value, in the order of the record; a name may appear twice. */
export type RecordHeader = readonly [name: string, value: Uint8Array]

export interface RecordToPublish {
  readonly topic: string
  /** Default: murmur2 of the key as Java's client does it; without a key, spread evenly. */
  readonly partition?: number
  readonly key: Uint8Array | null
  readonly value: Uint8Array
  readonly headers: readonly RecordHeader[]
}

export interface Position {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

export interface LogRecord extends Position {
  /** Wall time of the append or of its producer, ms since 1970. */
  readonly timestampMs: number
  readonly key: Uint8Array | null
  /** Null where the producer wrote a tombstone. */
  readonly value: Uint8Array | null
  readonly headers: readonly RecordHeader[]
}

export interface ConsumeRequest {
  readonly topics: readonly string[]
  readonly group: string
  /**
   * Where the group begins in partitions in which it has never committed; everywhere else it goes on where it left
   * off. Default 'earliest'. The place is fixed when `consume` resolves, and kept from the first assignment on, so
   * that a restart neither skips nor repeats anything because of it. A partition that is made later begins at its
   * earliest record.
   */
  readonly from?: 'earliest' | 'latest' | FromTime
  /**
   * Most records of one partition that may be delivered and not settled; the partition then pauses, alone.
   * Default 2,000; at most 20,000 (the done-set of a wider window would not fit Kafka's commit metadata).
   */
  readonly windowRecords?: number
  /** The same in bytes of keys and values. Default 32 MiB; one larger record still comes, alone. */
  readonly windowBytes?: number
  /**
   * Called once for each assignment of a partition, before its first batch, also where there is nothing to deliver;
   * the first may come before `consume` resolves. Must not throw.
   */
  readonly onAssigned?: (assigned: AssignedPartition) => void
}

/** The first record whose timestamp is at or after this time, in ms since 1970; where there is none, the end. */
export interface FromTime {
  readonly timeMs: number
}

/** A partition in the hands of this member, until `lost` aborts. */
export interface AssignedPartition {
  readonly topic: string
  readonly partition: number
  /** The same object as that of the assignment's deliveries. Aborts at the latest when the subscription has closed. */
  readonly lost: AbortSignal
}

/** Iterate to get batches: each holds deliveries of one partition, in log order. Pull more slowly to hold it back. */
export interface Subscription extends AsyncIterable<Batch> {
  /**
   * Ends the iteration, commits what is settled and leaves the group. What was delivered and not settled comes to
   * the next owner of its partition. Safe to call twice.
   */
  close(): Promise<void>
}

export interface Batch {
  readonly topic: string
  readonly partition: number
  readonly deliveries: readonly Delivery[]
}

export interface Delivery {
  readonly record: LogRecord
  /**
   * Aborts when the partition's assignment is lost: somebody else has, or will get, this record. The same object for
   * every delivery of one assignment.
   */
  readonly lost: AbortSignal
  /**
   * This record is finished; deliveries may be settled in any order, each once (a second call does nothing). The
   * committed position follows the first unsettled record; it is stored within `commitIntervalMs` (an option of the
   * adapter) and at close. Does nothing once `lost` has aborted.
   */
  settle(): void
}

export interface ListenRequest {
  readonly topic: string
  readonly partition: number
  /** An offset that retention has removed means the earliest one that is left. */
  readonly from: 'earliest' | 'latest' | number | FromTime
}

/** Batches of records in log order; never an empty one. */
export interface Listener extends AsyncIterable<readonly LogRecord[]> {
  /** The offset from which on records are heard. */
  readonly from: number
  close(): Promise<void>
}

export interface InspectRequest {
  readonly topics: readonly string[]
  /** Fill in `committed` for this group. */
  readonly group?: string
}

export interface PartitionState {
  readonly topic: string
  readonly partition: number
  /** First offset that is still kept. */
  readonly start: number
  /** The offset the next record will get. */
  readonly end: number
  /** First unfinished offset of the group; null while it has never committed. */
  readonly committed: number | null
}

export interface FailedRecord {
  /** Index into the records given to `publish`. */
  readonly index: number
  /** 'refused': it was not appended and will not be. 'unknown': it may have been. */
  readonly outcome: 'refused' | 'unknown'
  readonly cause: unknown
}

/** Names the records of a `publish` that are not known to be durable; those not named are durable. */
export class PublishError extends ForebayError {
  readonly failed: readonly FailedRecord[]

  constructor(message: string, failed: readonly FailedRecord[]) {
    const code: ErrorCode = failed.every((one) => one.outcome === 'refused') ? 'NOT_ACCEPTED' : 'OUTCOME_UNKNOWN'
    super(code, message, { cause: failed[0]?.cause })
    this.name = 'PublishError'
    this.failed = failed
  }
}
