import { ATTRIBUTE_NAME, fromAttributes, shown } from './attributes.ts'
import type { EncodedEvent } from './encoded-event.ts'
import { strictUtf8 } from './strict-utf8.ts'
import { readStructured } from './structured.ts'

/** What a record of the log has of an event; `value` is null in a tombstone. */
export interface EventRecord {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: readonly EventHeader[]
  /** Wall ms since 1970. */
  readonly timestampMs: number
}

/** As a broker publishes it. */
export interface RecordOfEvent {
  readonly topic: string
  readonly key: Uint8Array | null
  readonly value: Uint8Array
  readonly headers: readonly EventHeader[]
}

type EventHeader = readonly [name: string, value: Uint8Array]

/**
 * CloudEvents 1.0 in Kafka records. We write binary mode: the data as the record's value, attributes as headers `ce_…`, the
 * ordering key as the record's key. Structured mode (one JSON document) is read too.
 */
export function toRecord(event: EncodedEvent, topic: string): RecordOfEvent {
  const headers: EventHeader[] = [
    SPECVERSION,
    ['ce_id', Buffer.from(event.id)],
    ['ce_source', Buffer.from(event.source)],
    ['ce_type', Buffer.from(event.type)],
    ['ce_time', Buffer.from(new Date(event.timeMs).toISOString())],
    ['ce_dataversion', Buffer.from(String(event.version))],
    ['content-type', Buffer.from(event.contentType)],
  ]
  if (event.subject !== null) headers.push(['ce_subject', Buffer.from(event.subject)])
  if (event.dataSchema !== null) headers.push(['ce_dataschema', Buffer.from(event.dataSchema)])
  if (event.key !== null) headers.push(['ce_partitionkey', Buffer.from(event.key)])
  if (event.traceparent !== null) headers.push(['ce_traceparent', Buffer.from(event.traceparent)])
  if (event.tracestate !== null) headers.push(['ce_tracestate', Buffer.from(event.tracestate)])
  for (const [name, value] of Object.entries(event.extensions)) headers.push([`ce_${name}`, Buffer.from(value)])
  return { topic, key: event.key === null ? null : Buffer.from(event.key), value: event.bytes, headers }
}

/** A sentence where the record holds no event: it says what is missing or wrong. */
export function fromRecord(record: EventRecord): EncodedEvent | string {
  const attributes = new Map<string, string>()
  let contentType = ''
  for (const [name, value] of record.headers) {
    const attribute = attributeOf(name)
    if (attribute === null) continue
    const text = strictUtf8(value)
    if (text === null) return `Its header ${shown(name)} is no UTF-8.`
    if (attribute === 'datacontenttype') contentType = text
    else if (name.startsWith('ce_') || !attributes.has(attribute)) attributes.set(attribute, text)
  }
  const defaults = { key: record.key === null ? null : Buffer.from(record.key).toString(), timeMs: record.timestampMs }
  if (/^application\/cloudevents\+json *(;|$)/i.test(contentType)) return readStructured(record.value, defaults)
  if (/^application\/cloudevents\b/i.test(contentType)) return `Its event format ${shown(contentType)} is none we read.`
  return fromAttributes(attributes, contentType, record.value ?? EMPTY, defaults)
}

/** Only what a record says of its type: enough to know that it is nothing of ours. Null where it says nothing. */
export function typeOfRecord({ headers }: Pick<EventRecord, 'headers'>): string | null {
  const header = headers.findLast(([name]) => name === 'ce_type')
  return header === undefined ? null : strictUtf8(header[1])
}

/** Trace context is written beside the attributes by some producers, as their tracers do. Null: no attribute. */
function attributeOf(header: string): string | null {
  if (header.startsWith('ce_')) return ATTRIBUTE_NAME.test(header.slice(3)) ? header.slice(3) : null
  if (header === 'traceparent' || header === 'tracestate') return header
  return header.toLowerCase() === 'content-type' ? 'datacontenttype' : null
}

const EMPTY = new Uint8Array()
const SPECVERSION: EventHeader = ['ce_specversion', Buffer.from('1.0')]
