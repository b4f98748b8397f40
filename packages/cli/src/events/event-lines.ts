import type { LogRecord } from '@forebay/broker'
import { type EncodedEvent, fromRecord, structuredText } from '@forebay/protocol/cloudevents'
import { printable } from '../printable.ts'

/** A record and what it says, or why it says nothing. */
export interface Seen {
  readonly record: LogRecord
  readonly event: EncodedEvent | string
}

export function seen(record: LogRecord): Seen {
  return { record, event: fromRecord(record) }
}

/** One line for people: time, type, key, id, data. */
export function eventLine({ record, event }: Seen): string {
  if (typeof event === 'string') {
    const { topic, partition, offset, timestampMs } = record
    return `${moment(timestampMs)}  -  no event at ${topic}/${partition}/${offset}: ${printable(event)}`
  }
  const { timeMs, type, version, key, id } = event
  const name = version === 1 ? type : `${type}/${version}`
  return [moment(timeMs), cut(name), cut(key ?? '-'), cut(id), shortData(event)].join('  ').trimEnd()
}

/** One JSON object a line: the event as a document, and its place. */
export function eventJson({ record, event }: Seen): string {
  const { topic, partition, offset } = record
  const place = { topic, partition, offset }
  if (typeof event === 'string') return inertJson({ place, fault: event })
  return inert(`{"place":${JSON.stringify(place)},"event":${structuredText(event)}}`)
}

/** JSON that leaves a terminal alone: whatever controls one is escaped, which reads as the same. */
export function inertJson(value: unknown): string {
  return inert(JSON.stringify(value))
}

function inert(json: string): string {
  return json.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) =>
    Array.from({ length: character.length }, (_, at) => escaped(character.charCodeAt(at))).join(''),
  )
}

/** Of a data that is text the beginning, on one line. */
export function shortData({ bytes, contentType }: EncodedEvent): string {
  if (bytes.length === 0) return ''
  try {
    // As a stream, so that a character which is cut in two is no fault.
    const decoder = new TextDecoder('utf-8', { fatal: true })
    const text = decoder.decode(bytes.subarray(0, READ_BYTES_MAX), { stream: true })
    return cut(text.replace(/\s+/g, ' '), DATA_CHARS_MAX)
  } catch {
    return `(${bytes.length} bytes of ${cut(contentType)})`
  }
}

function escaped(unit: number): string {
  return `\\u${unit.toString(16).padStart(4, '0')}`
}

function moment(ms: number): string {
  return new Date(ms).toISOString()
}

function cut(text: string, charactersMax = FIELD_CHARS_MAX): string {
  const shown = printable(text)
  return shown.length <= charactersMax ? shown : `${shown.slice(0, charactersMax)}…`
}

const FIELD_CHARS_MAX = 64
const DATA_CHARS_MAX = 120
const READ_BYTES_MAX = 1_024
