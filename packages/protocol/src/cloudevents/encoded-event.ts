/** A CloudEvent 1.0 on the wire: its attributes by CloudEvents' own names, its data as bytes that only its schema can read. */
export interface EncodedEvent {
  /** Unique within `source`; the same each time the event is delivered. */
  readonly id: string
  /** The service that published it: a URI reference such as '/user-service'. */
  readonly source: string
  /** Name of the event. */
  readonly type: string
  /** Version of its data's schema, from 1. */
  readonly version: number
  /** Ordering key: events of one topic and key come in the order in which they were published. Null: no order. */
  readonly key: string | null
  /** When it happened; wall ms since 1970. */
  readonly timeMs: number
  /** What it is about, where that is not the key. */
  readonly subject: string | null
  /** W3C trace context of whoever published it. */
  readonly traceparent: string | null
  readonly tracestate: string | null
  /** Extension attributes: lower-case letters and digits, at most 20 of them in a name. */
  readonly extensions: Readonly<Record<string, string>>
  readonly bytes: Uint8Array
  /** Media type of `bytes`. */
  readonly contentType: string
  /** Where its schema is to be found; null where the producer did not say. */
  readonly dataSchema: string | null
}
