import { ATTRIBUTE_NAME, type AttributeDefaults, fromAttributes, shown } from './attributes.ts'
import type { EncodedEvent } from './event.ts'

/** One CloudEvent as a JSON document (JSON event format 1.0). A sentence where it is none. */
export function readStructured(document: Uint8Array | null, defaults: AttributeDefaults): EncodedEvent | string {
  let parsed: unknown
  try {
    parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(document ?? new Uint8Array()))
  } catch {
    return 'It says that it is a CloudEvent as JSON, and is no JSON.'
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    return 'It is no CloudEvent: no JSON object.'
  }
  return readStructuredObject(parsed as Readonly<Record<string, unknown>>, defaults)
}

export function readStructuredObject(
  { data, data_base64: base64, ...rest }: Readonly<Record<string, unknown>>,
  defaults: AttributeDefaults,
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
  return fromAttributes(attributes, contentType, bytesOf(data, contentType), defaults)
}

function bytesOf(data: unknown, contentType: string): Uint8Array {
  if (data === undefined) return new Uint8Array()
  const isText = typeof data === 'string' && !/[/+]json\b/i.test(contentType)
  return Buffer.from(isText ? data : JSON.stringify(data))
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/
