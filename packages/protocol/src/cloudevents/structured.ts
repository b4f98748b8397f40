import { memberText } from '../json-text.ts'
import { ATTRIBUTE_NAME, type AttributeDefaults, fromAttributes, shown } from './attributes.ts'
import type { EncodedEvent } from './encoded-event.ts'

/** One CloudEvent as a JSON document (JSON event format 1.0). A sentence where it is none. */
export function readStructured(document: Uint8Array | null, defaults: AttributeDefaults): EncodedEvent | string {
  let json: string
  let parsed: unknown
  try {
    json = new TextDecoder('utf-8', { fatal: true }).decode(document ?? new Uint8Array())
    parsed = JSON.parse(json)
  } catch {
    return 'It says that it is a CloudEvent as JSON, and is no JSON.'
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    return 'It is no CloudEvent: no JSON object.'
  }
  return readStructuredObject(parsed as Readonly<Record<string, unknown>>, defaults, memberText(json, 'data'))
}

/** `dataText`: the member `data` as its writer wrote it, so that no number in it changes; null where there is none. */
export function readStructuredObject(
  { data, data_base64: base64, ...rest }: Readonly<Record<string, unknown>>,
  defaults: AttributeDefaults,
  dataText: string | null,
): EncodedEvent | string {
  const attributes = new Map<string, string>()
  for (const [name, value] of Object.entries(rest)) {
    if (!ATTRIBUTE_NAME.test(name)) return `Its attribute ${shown(name)} is none: use lower-case letters and digits.`
    if (value === null) continue
    if (!['string', 'number', 'boolean'].includes(typeof value)) return `Its attribute ${shown(name)} is no text.`
    attributes.set(name, String(value))
  }
  if (data !== undefined && base64 !== undefined) return 'It has both data and data_base64.'
  const contentType = attributes.get('datacontenttype') ?? 'application/json'
  if (base64 !== undefined) {
    if (typeof base64 !== 'string' || !BASE64.test(base64)) return 'Its data_base64 is no base64.'
    return fromAttributes(attributes, contentType, Buffer.from(base64, 'base64'), defaults)
  }
  const isText = typeof data === 'string' && !JSON_TYPE.test(contentType)
  if (isText && !data.isWellFormed()) return 'Its data is no well-formed Unicode.'
  const bytes = data === undefined ? new Uint8Array() : Buffer.from(isText ? data : dataText!)
  return fromAttributes(attributes, contentType, bytes, defaults)
}

/** The same as one JSON document; data that is no text goes as base64. */
export function toStructured(event: EncodedEvent): Readonly<Record<string, unknown>> {
  const { subject, traceparent, tracestate, key, dataSchema, contentType } = event
  return {
    specversion: '1.0',
    id: event.id,
    source: event.source,
    type: event.type,
    time: new Date(event.timeMs).toISOString(),
    dataversion: String(event.version),
    ...(key === null ? {} : { partitionkey: key }),
    ...(subject === null ? {} : { subject }),
    ...(dataSchema === null ? {} : { dataschema: dataSchema }),
    ...(traceparent === null ? {} : { traceparent }),
    ...(tracestate === null ? {} : { tracestate }),
    ...event.extensions,
    datacontenttype: contentType,
    ...dataOf(event.bytes, contentType),
  }
}

/** The same as one line of text, in which data that is JSON stays as its writer wrote it: no number changes. */
export function structuredText(event: EncodedEvent): string {
  const { data, ...rest } = toStructured(event)
  if (data === undefined) return JSON.stringify(rest)
  if (!JSON_TYPE.test(event.contentType)) return JSON.stringify({ ...rest, data })
  // Between the values of JSON only: in its strings none of these can be.
  const text = Buffer.from(event.bytes)
    .toString()
    .replace(/[\t\n\r]/g, ' ')
  return `${JSON.stringify(rest).slice(0, -1)},"data":${text}}`
}

function dataOf(bytes: Uint8Array, contentType: string): { data?: unknown; data_base64?: string } {
  if (bytes.length === 0) return {}
  const base64 = { data_base64: Buffer.from(bytes).toString('base64') }
  const isJson = JSON_TYPE.test(contentType)
  if (!isJson && !/^text\//i.test(contentType)) return base64
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    return { data: isJson ? JSON.parse(text) : text }
  } catch {
    return base64
  }
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/
const JSON_TYPE = /[/+]json\b/i
