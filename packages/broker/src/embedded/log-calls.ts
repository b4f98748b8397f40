import type { TopicSpec } from '../broker.ts'

/** What the broker asks of the thread that owns the file; see thread-call.ts. */
export type LogCalls = {
  open: { argument: OpenLog; result: OpenedLog }
  append: { argument: Append; result: Appended }
  read: { argument: ReadChunks; result: ChunksRead }
  commit: { argument: readonly StoredPosition[]; result: undefined }
  retain: { argument: Retain; result: Retained }
  seekTime: { argument: TimeSeek; result: TimeSought }
  addTopics: { argument: readonly TopicSpec[]; result: readonly StoredPartition[] }
  close: { argument: undefined; result: undefined }
}

export interface OpenLog {
  readonly path: string
  readonly bytesMax: number
  readonly topics: readonly TopicSpec[]
}

export interface OpenedLog {
  readonly partitions: readonly StoredPartition[]
  readonly positions: readonly StoredPosition[]
}

export interface StoredPartition {
  /** Number of the partition in this file. */
  readonly id: number
  readonly topic: string
  readonly partition: number
  readonly start: number
  readonly end: number
}

export interface StoredPosition {
  readonly group: string
  readonly partitionId: number
  readonly watermark: number
  /** The done-set, as the offset ledger writes it. */
  readonly metadata: string
}

export interface Append {
  /** Moves to the thread. */
  readonly buffer: ArrayBuffer
  readonly chunks: readonly AppendChunk[]
}

/** Records of one partition, packed in `buffer` from `start` up to `end`. */
export interface AppendChunk {
  readonly partitionId: number
  readonly records: number
  readonly timestampMs: number
  readonly start: number
  readonly end: number
}

export type Appended =
  /** All are on the disk; `bases` are the offsets of each chunk's first record. */
  | { readonly kind: 'appended'; readonly bases: readonly number[] }
  /** There was no room; nothing was appended. */
  | { readonly kind: 'full'; readonly reason: string }
  /** The disk failed. Nothing more is appended until a restart: what a failed flush left behind nobody knows. */
  | { readonly kind: 'stopped'; readonly outcome: 'refused' | 'unknown'; readonly reason: string }

export interface ReadChunks {
  readonly partitionId: number
  readonly from: number
  /** Chunks are added until they hold as many bytes; at least one, if there is one. */
  readonly bytesMax: number
}

export interface ChunksRead {
  /** Moves from the thread. */
  readonly buffer: ArrayBuffer
  readonly chunks: readonly { readonly base: number; readonly start: number; readonly end: number }[]
}

export interface TimeSeek {
  readonly partitionId: number
  readonly from: number
  readonly timeMs: number
}

/** `more`: no record before `offset` is as late; ask again from there. */
export interface TimeSought {
  readonly kind: 'found' | 'end' | 'more'
  readonly offset: number
}

export interface Retain {
  readonly nowMs: number
  readonly retentionBytes: number
}

export interface Retained {
  /** Partitions that begin later than before. */
  readonly starts: readonly { readonly partitionId: number; readonly start: number }[]
  /** There is more to remove: ask again. */
  readonly more: boolean
}
