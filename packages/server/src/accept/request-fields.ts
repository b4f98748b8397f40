import type { IncomingMessage } from 'node:http'
import { ForebayError } from '@forebay/protocol'
import { isMediaType } from '../media-type.ts'
import { nearestName } from '../nearest-name.ts'

/** The header fields that the HTTP door goes by, each sent at most once. */
export interface RequestFields {
  host?: string
  authorization?: string
  contentType?: string
  contentLength?: string
  contentEncoding?: string
  transferEncoding?: string
  expect?: string
  prefer?: string
  key?: string
  idempotencyKey?: string
  delay?: string
  notBefore?: string
  deadline?: string
  priority?: string
  callback?: string
  traceparent?: string
  tracestate?: string
}

export const HEADERS_MAX = 100

/**
 * Reads the fields in one pass and refuses what Node lets through and others on the road may read differently: a field
 * twice, transfer codings other than chunked, chunked on HTTP/1.0, targets that are not a plain path, bodies where none
 * belongs. Runs before any route.
 */
export function readRequest(request: IncomingMessage): RequestFields {
  const fields = readFields(request.rawHeaders)
  checkTarget(request.url!)
  if (fields.host === undefined && request.httpVersionMinor > 0) {
    throw new ForebayError('BAD_REQUEST', 'The header Host is missing.', { members: { header: 'Host' } })
  }
  if (fields.transferEncoding !== undefined) {
    if (fields.transferEncoding.toLowerCase() !== 'chunked') {
      throw new ForebayError('BAD_HEADER', 'The only transfer coding that is understood is "chunked".', {
        members: { header: 'Transfer-Encoding' },
      })
    }
    if (request.httpVersionMinor === 0) throw new ForebayError('BAD_REQUEST', 'HTTP/1.0 has no transfer codings.')
  }
  if (fields.contentEncoding !== undefined && fields.contentEncoding.toLowerCase() !== 'identity') {
    throw new ForebayError('BAD_HEADER', 'Send the body as it is, without a content coding.', {
      members: { header: 'Content-Encoding' },
    })
  }
  if (fields.contentType !== undefined && !isMediaType(fields.contentType)) {
    throw new ForebayError('BAD_HEADER', 'Content-Type is not a media type; send one like "application/json".', {
      members: { header: 'Content-Type' },
    })
  }
  if (isBodyless(request.method!) && hasBody(fields)) {
    throw new ForebayError('BAD_REQUEST', `A ${request.method} request has no body here.`)
  }
  return fields
}

export function hasBody(fields: RequestFields): boolean {
  return fields.transferEncoding !== undefined || (fields.contentLength !== undefined && fields.contentLength !== '0')
}

function readFields(raw: readonly string[]): RequestFields {
  if (raw.length > 2 * HEADERS_MAX) {
    throw new ForebayError('HEADERS_TOO_LARGE', `At most ${HEADERS_MAX} header fields are read.`, {
      members: { limit: HEADERS_MAX },
    })
  }
  const fields: RequestFields = {}
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at]!.toLowerCase()
    const field = FIELD_OF.get(name)
    if (field === undefined) {
      if (name.startsWith(OUR_PREFIX) && !OURS_IGNORED.has(name)) throw unknownField(name)
      continue
    }
    const value = raw[at + 1]!
    const before = fields[field]
    if (before === undefined) fields[field] = value
    else if (LISTS.has(field)) fields[field] = `${before}, ${value}`
    else throw new ForebayError('BAD_HEADER', `The header ${name} came twice.`, { members: { header: name } })
  }
  return fields
}

const OUR_PREFIX = 'forebay-'

const FIELD_OF: ReadonlyMap<string, keyof RequestFields> = new Map([
  ['host', 'host'],
  ['authorization', 'authorization'],
  ['content-type', 'contentType'],
  ['content-length', 'contentLength'],
  ['content-encoding', 'contentEncoding'],
  ['transfer-encoding', 'transferEncoding'],
  ['expect', 'expect'],
  ['prefer', 'prefer'],
  ['forebay-key', 'key'],
  ['idempotency-key', 'idempotencyKey'],
  ['forebay-delay', 'delay'],
  ['forebay-not-before', 'notBefore'],
  ['forebay-deadline', 'deadline'],
  ['forebay-priority', 'priority'],
  ['forebay-callback', 'callback'],
  ['traceparent', 'traceparent'],
  ['tracestate', 'tracestate'],
])
const LISTS: ReadonlySet<keyof RequestFields> = new Set<keyof RequestFields>(['prefer', 'tracestate'])
/** What our own HTTP targets send: one Forebay may be the target of another. */
const OURS_IGNORED: ReadonlySet<string> = new Set(['forebay-task', 'forebay-attempt', 'forebay-queue'])

/** Silence would pass for a promise: a delay that is not kept, say. */
function unknownField(name: string): ForebayError {
  const ours = [...FIELD_OF.keys()].filter((one) => one.startsWith(OUR_PREFIX))
  const nearest = nearestName(name, ours)
  const hint = nearest === null ? `known are ${ours.join(', ')}` : `did you mean ${nearest}?`
  return new ForebayError('BAD_HEADER', `This server has no header ${printable(name)}; ${hint}`, {
    members: { header: printable(name) },
  })
}

/** Origin form only: a path, its escapes whole and none of them NUL, no fragment. */
function checkTarget(target: string): void {
  if (target.charCodeAt(0) !== SLASH || target.includes('#')) {
    throw new ForebayError('BAD_REQUEST', 'The request target must be a path like /v1/tasks/….')
  }
  if (!target.includes('%')) return
  let decoded: string
  try {
    decoded = decodeURIComponent(target)
  } catch {
    throw new ForebayError('BAD_REQUEST', 'The path holds a "%" that is no escape of UTF-8.')
  }
  if (decoded.includes('\0')) throw new ForebayError('BAD_REQUEST', 'The path holds an escaped NUL.')
}

const SLASH = 0x2f

function isBodyless(method: string): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'DELETE'
}

function printable(text: string): string {
  return text.replace(/[^\x21-\x7e]/g, '?').slice(0, 64)
}
