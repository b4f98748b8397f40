/**
 * What stands on the topic of edge logs: one JSON document a record. Field names and their meaning stay the same while
 * `v` does; new fields may come. Texts are '' and numbers null where there is nothing to say.
 */
export type Row = AccessRow | UndecodableRow | DroppedRow

/** Topic of all rows, unless `edge.topic` names another. The record key is the source. */
export const EDGE_TOPIC = 'forebay.edge.access'
export const ROW_VERSION = 1

/** One request that passed nginx. */
export interface AccessRow {
  readonly v: typeof ROW_VERSION
  readonly kind: 'access'
  /** When the request ended, ISO 8601 with ms and offset; it began `seconds` before. */
  readonly time: string
  /** Machine that wrote the line. */
  readonly server: string
  /** Name that the client called. */
  readonly host: string
  /** Address of the client; shortened where `edge.redact.client` says so. */
  readonly client: string
  readonly method: string
  /** As the client wrote it, without the query. */
  readonly path: string
  /** Without '?'; values of secret parameters are replaced by `[redacted]`. */
  readonly query: string
  readonly protocol: string
  /** 0 where no answer was begun. */
  readonly status: number | null
  /** Whole request: line, headers, body. */
  readonly requestBytes: number | null
  /** Whole answer: headers and body. */
  readonly responseBytes: number | null
  /** From the first byte of the request to the last of the answer. */
  readonly seconds: number | null
  /** Every address that was tried, in nginx's own form: '10.0.0.1:8080, 10.0.0.2:8080'. */
  readonly upstream: string
  /** Of the last address tried, as the four below. */
  readonly upstreamStatus: number | null
  readonly connectSeconds: number | null
  /** Until the header of its answer was there. */
  readonly headerSeconds: number | null
  /** Until its whole answer was there. */
  readonly upstreamSeconds: number | null
  /** 'TLSv1.3', '' without TLS. */
  readonly tls: string
  readonly cipher: string
  /** HIT, MISS, BYPASS, …; '' where nothing is cached. */
  readonly cache: string
  readonly userAgent: string
  /** Its query is redacted as well. */
  readonly referer: string
  /** 32 hex digits; the caller and the gateway know it as X-Request-Id. */
  readonly requestId: string
  /** Trace id of a valid traceparent, 32 hex digits. It is the client's word. */
  readonly trace: string
  /** The task that the answer is about, or that the path names. */
  readonly task: string
  /** Serial number of the connection within one start of nginx, and of the request on it. */
  readonly connection: number | null
  readonly connectionRequests: number | null
  /** Whatever a team adds, from Lua or a format of its own. */
  readonly tags?: Readonly<Record<string, unknown>>
}

/** A line that is no JSON object, or nothing of the format it should have, with its bytes as they came, but for secrets that could be seen in them. */
export interface UndecodableRow {
  readonly v: typeof ROW_VERSION
  readonly kind: 'undecodable'
  /** When the collector read it. */
  readonly time: string
  readonly reason: UndecodableReason
  /** Something was taken out of `bytes`, and stands there as `[redacted]`. What `fb-sequence` says is of the line as it came. */
  readonly redacted?: true
  /** Base64. */
  readonly bytes: string
  /** A line of more than 256 KiB comes in several rows: whether this one goes on with what the row before it began. */
  readonly continues: boolean
}

export type UndecodableReason = 'not-utf8' | 'not-json' | 'not-an-object' | 'not-the-format' | 'too-long' | 'unfinished'

/** Lines that are known to be lost, so that no gap is silent (N-5). */
export interface DroppedRow {
  readonly v: typeof ROW_VERSION
  readonly kind: 'dropped'
  readonly time: string
  readonly reason: DroppedReason
  readonly source: string
  readonly epoch: string
  /** What is missing of the source, as in `fb-sequence`. */
  readonly first: number
  /** As far as is known; null where it is not. */
  readonly end: number | null
  /** How many; null where that cannot be known. */
  readonly lines: number | null
  /**
   * Only with `not-running`: requests that ended from here to `until` may be missing. ISO 8601 with ms; null where a note that is damaged
   * should have said it.
   */
  readonly from?: string | null
  readonly until?: string
}

/**
 * spool-full: the oldest gave way (`edge.spool.whenFull: drop-oldest`). socket: the kernel's buffer of a UDP socket was
 * full. file-gone: a file was removed or cut, and what it held by then beyond `first` was never read (perhaps nothing). spool-torn: the end of the spool was damaged.
 * sender: whoever sent the lines says so. not-running: datagrams found no collector, or one that was killed before it had kept them.
 */
export type DroppedReason = 'spool-full' | 'socket' | 'file-gone' | 'spool-torn' | 'sender' | 'not-running'
