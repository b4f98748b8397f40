import type { EncodedEvent } from '@forebay/protocol/cloudevents'

/**
 * A fact that was published: a CloudEvent 1.0 with typed, versioned data. The attributes carry CloudEvents' own names.
 */
export interface Event<Data = unknown, Type extends string = string, Version extends number = number>
  extends Omit<EncodedEvent, 'bytes' | 'contentType' | 'dataSchema' | 'type' | 'version'> {
  /** Name of the event. */
  readonly type: Type
  /** Version of its data's schema, from 1. */
  readonly version: Version
  readonly data: Data
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
