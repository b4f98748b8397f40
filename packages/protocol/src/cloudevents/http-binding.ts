import { elementTexts, memberText } from '../json-text.ts'
import { ATTRIBUTE_NAME, type AttributeDefaults, fromAttributes, shown } from './attributes.ts'
import type { EncodedEvent } from './encoded-event.ts'
import { strictUtf8 } from './strict-utf8.ts'
import { readStructuredObject } from './structured.ts'

/** What an HTTP request has of events. */
export interface EventRequest {
  /** Names and values in turn as they came, the bytes of values as Latin-1 (Node's `rawHeaders`). */
  readonly headers: readonly string[]
  /** Of `body`; '' where none was named. */
  readonly contentType: string
  readonly body: Uint8Array
}

/** Each event, or a sentence that says why it is none. */
export type EventsRead =
  | { readonly kind: 'one'; readonly event: EncodedEvent | string }
  | { readonly kind: 'batch'; readonly events: readonly (EncodedEvent | string)[] }
  /** Not even that can be told. */
  | { readonly kind: 'unreadable'; readonly why: string }
  | { readonly kind: 'too-many'; readonly count: number }

/**
 * CloudEvents 1.0 in HTTP requests, in all three modes: binary (attributes as headers `ce-…`, data as the body), structured
 * (one JSON document) and batch (a JSON array of them). The data's bytes stay as their writer wrote them in each.
 */
export function readHttpEvents(request: EventRequest, nowMs: number, eventsMax: number): EventsRead {
  const { contentType } = request
  const mode = modeOf(contentType)
  const defaults = { key: null, timeMs: nowMs, strictTime: true }
  if (mode === 'binary') return { kind: 'one', event: readBinary(request, defaults) }
  if (mode === null) return unreadable(`The event format ${shown(contentType)} is none that is read here: ${FORMATS}.`)
  const charset = CHARSET.exec(contentType)?.[1]
  if (charset !== undefined && !/^utf-?8$/i.test(charset)) return unreadable('CloudEvents as JSON are UTF-8.')
  const json = strictUtf8(request.body)
  const parsed = json === null ? undefined : parse(json)
  if (parsed === undefined) return unreadable('The body is no JSON in UTF-8, and its Content-Type says that it is.')
  if (mode === 'structured') return { kind: 'one', event: readDocument(parsed, json!, defaults) }
  if (!Array.isArray(parsed)) return unreadable('A batch is a JSON array of CloudEvents; the body is none.')
  if (parsed.length > eventsMax) return { kind: 'too-many', count: parsed.length }
  const texts = elementTexts(json!)
  return { kind: 'batch', events: parsed.map((one, index) => readDocument(one, texts[index]!, defaults)) }
}

type Mode = 'binary' | 'structured' | 'batch'

/** Null for an event format that we do not read. */
function modeOf(contentType: string): Mode | null {
  const essence = contentType.split(';', 1)[0]!.trim().toLowerCase()
  if (essence === 'application/cloudevents+json') return 'structured'
  if (essence === 'application/cloudevents-batch+json') return 'batch'
  return essence.startsWith('application/cloudevents') ? null : 'binary'
}

const FORMATS = 'application/cloudevents+json, application/cloudevents-batch+json, or attributes as headers ce-…'
const CHARSET = /;[ \t]*charset="?([^";]*)/i

function readBinary({ headers, contentType, body }: EventRequest, defaults: AttributeDefaults): EncodedEvent | string {
  const attributes = new Map<string, string>()
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at]!.toLowerCase()
    if (!name.startsWith(PREFIX)) continue
    const attribute = name.slice(PREFIX.length)
    const fault = nameFault(attribute) ?? (attributes.has(attribute) ? 'came twice' : null)
    if (fault !== null) return `Its header ${shown(name)} ${fault}.`
    const value = attributeValue(headers[at + 1]!)
    if (typeof value !== 'string') return `Its header ${shown(name)} ${value.fault}.`
    attributes.set(attribute, value)
  }
  if (attributes.size === 0) return NO_ATTRIBUTES
  return fromAttributes(attributes, contentType, body, defaults)
}

const PREFIX = 'ce-'
const NO_ATTRIBUTES =
  'It is no CloudEvent: send its attributes as headers (ce-specversion, ce-id, ce-source, ce-type), or the whole event with Content-Type: application/cloudevents+json.'

function nameFault(attribute: string): string | null {
  if (attribute === 'datacontenttype') return 'is the header Content-Type: send it there'
  if (attribute === 'data') return 'is no attribute: the body is the data'
  return ATTRIBUTE_NAME.test(attribute) ? null : 'names no attribute: those are lower-case letters and digits'
}

/** Quotes go first, then one round of percent-decoding, as the binding says; the bytes must be UTF-8. */
function attributeValue(written: string): string | { readonly fault: string } {
  const plain = QUOTED.test(written) ? written.slice(1, -1).replace(/\\(.)/gs, '$1') : written
  if (plain === '') return { fault: 'is empty: leave it out' }
  if (BAD_ESCAPE.test(plain)) return { fault: 'holds a "%" that is no escape: write %25' }
  const bytes = plain.replace(ESCAPE, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
  return strictUtf8(Buffer.from(bytes, 'latin1')) ?? { fault: 'is no UTF-8' }
}

const QUOTED = /^"(?:[^"\\]|\\.)*"$/s
const ESCAPE = /%([0-9A-Fa-f]{2})/g
const BAD_ESCAPE = /%(?![0-9A-Fa-f]{2})/

function readDocument(parsed: unknown, json: string, defaults: AttributeDefaults): EncodedEvent | string {
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return 'It is no JSON object.'
  return readStructuredObject(parsed as Readonly<Record<string, unknown>>, defaults, memberText(json, 'data'))
}

/** Undefined where it is no JSON, which cannot say so itself. */
function parse(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return undefined
  }
}

function unreadable(why: string): EventsRead {
  return { kind: 'unreadable', why }
}
