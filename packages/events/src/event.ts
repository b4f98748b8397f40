/**
 * A fact that was published: a CloudEvent 1.0 with typed, versioned data. The attributes carry CloudEvents' own names.
 */
export interface Event<Data = unknown, Type extends string = string, Version extends number = number> {
  /** Unique within `source`; the same each time the event is delivered. */
  readonly id: string
  /** The service that published it: a URI reference such as '/user-service'. */
  readonly source: string
  /** Name of the event. */
  readonly type: Type
  /** Version of its data's schema, from 1. */
  readonly version: Version
  /** Ordering key: events of one topic and key come in the order in which they were published. Null: no order. */
  readonly key: string | null
  /** When it happened; wall ms since 1970. */
  readonly timeMs: number
  readonly data: Data
  /** What it is about, where that is not the key. */
  readonly subject: string | null
  /** W3C trace context of whoever published it. */
  readonly traceparent: string | null
  readonly tracestate: string | null
  /** Extension attributes: lower-case letters and digits, at most 20 of them in a name. */
  readonly extensions: Readonly<Record<string, string>>
}

/** An event on the wire: attributes as above, its data as bytes that only its schema can read. */
export interface EncodedEvent extends Omit<Event, 'data'> {
  readonly bytes: Uint8Array
  /** Media type of `bytes`. */
  readonly contentType: string
  /** Where its schema is to be found; null where the producer did not say. */
  readonly dataSchema: string | null
}

/** What a caller gives to publish one; the rest is filled in. */
export interface EventToPublish<Data> {
  readonly data: Data
  /** Default: a new UUID (version 7). The same id twice is the same event twice. */
  readonly id?: string
  /** Default: what the definition says of the data. */
  readonly key?: string | null
  /** When it happened; wall ms since 1970. Default: now. */
  readonly timeMs?: number
  readonly subject?: string
  /** One that is no W3C trace context is left out, as that standard asks. */
  readonly traceparent?: string
  readonly tracestate?: string
  readonly extensions?: Readonly<Record<string, string>>
}
