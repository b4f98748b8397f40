import { ForebayError } from '@forebay/protocol/errors'

/**
 * What a task or a result may consist of: bytes are sent as they are, a string as UTF-8, anything else as JSON,
 * `undefined` as no bytes at all. `{ body, contentType }` names the media type itself.
 */
export type Body = Uint8Array | ArrayBuffer | string | JsonLike | undefined | TypedBody

/** What JSON.stringify takes: left wide so that interfaces fit; what does not fit is refused when it is sent. */
export type JsonLike = object | number | boolean | null

export interface TypedBody {
  readonly body: unknown
  readonly contentType: string
}

export interface EncodedBody {
  readonly bytes: Uint8Array
  readonly contentType: string
}

export const BYTES_TYPE = 'application/octet-stream'
export const TEXT_TYPE = 'text/plain; charset=utf-8'
export const JSON_TYPE = 'application/json'

/** Throws a ForebayError BAD_REQUEST that says why something cannot be sent. `contentType` wins over the usual one. */
export function encodeBody(value: unknown, contentType?: string): EncodedBody {
  if (isTypedBody(value)) return encodeBody(value.body, contentType ?? value.contentType)
  if (value === undefined) return { bytes: NO_BYTES, contentType: contentType ?? BYTES_TYPE }
  if (typeof value === 'string') return { bytes: utf8(value), contentType: contentType ?? TEXT_TYPE }
  if (value instanceof Uint8Array) return { bytes: value, contentType: contentType ?? BYTES_TYPE }
  if (value instanceof ArrayBuffer) return { bytes: new Uint8Array(value), contentType: contentType ?? BYTES_TYPE }
  return { bytes: utf8(toJson(value)), contentType: contentType ?? JSON_TYPE }
}

/** UTF-8; a byte order mark is left out, broken sequences become U+FFFD. */
export function decodeText(bytes: Uint8Array): string {
  return decoder.decode(bytes)
}

export function isTypedBody(value: unknown): value is TypedBody {
  if (typeof value !== 'object' || value === null || !('contentType' in value) || !('body' in value)) return false
  return typeof value.contentType === 'string' && Object.keys(value).length === 2
}

function toJson(value: unknown): string {
  let text: string | undefined
  try {
    text = JSON.stringify(value)
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message.split('\n', 1)[0] : 'its toJSON threw'
    throw new ForebayError('BAD_REQUEST', `This value cannot be sent as JSON: ${why}.`, { cause: thrown })
  }
  if (text === undefined) throw new ForebayError('BAD_REQUEST', `A ${typeof value} cannot be sent as JSON.`)
  if (text === '{}' && !isPlain(value)) throw new ForebayError('BAD_REQUEST', emptyJsonMessage(value))
  return text
}

/** A Map, a Blob, a stream or a promise would silently become `{}`. */
function emptyJsonMessage(value: unknown): string {
  const name = (value as object).constructor?.name || 'object'
  return `A ${name} would be sent as JSON '{}'. Send plain objects, arrays, strings or bytes.`
}

function isPlain(value: unknown): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

function utf8(text: string): Uint8Array {
  return Buffer.from(text, 'utf8')
}

const NO_BYTES = new Uint8Array(0)
const decoder = new TextDecoder()
