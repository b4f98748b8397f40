import { createHash, hash } from 'node:crypto'
import { ForebayError } from '@forebay/protocol'

/**
 * The Idempotency-Key of a request: 1 to 255 visible ASCII characters, bare or in the quoted form of the HTTP APIs
 * draft ("abc" is the same key as abc). Null when there is none; throws BAD_HEADER for anything else.
 */
export function readIdempotencyKey(text: string | undefined): string | null {
  if (text === undefined) return null
  const quoted = QUOTED.exec(text)?.[1]
  const key = quoted === undefined ? text : quoted.replace(/\\(["\\])/g, '$1')
  if (!VISIBLE.test(key) || (quoted === undefined && key.startsWith('"'))) {
    throw new ForebayError(
      'BAD_HEADER',
      `Idempotency-Key must be 1 to ${IDEMPOTENCY_KEY_CHARACTERS_MAX} visible ASCII characters without spaces.`,
      { members: { header: 'Idempotency-Key' } },
    )
  }
  return key
}

export const IDEMPOTENCY_KEY_CHARACTERS_MAX = 255
const VISIBLE = /^[\x21-\x7e]{1,255}$/
const QUOTED = /^"((?:[^"\\]|\\["\\])*)"$/

export interface Asked {
  /** 'POST' for gRPC's Submit, so that the two doors agree. */
  readonly method: string
  readonly queue: string
  readonly key: string | null
  readonly contentType: string
  readonly payload: Uint8Array
}

/** Tells a repetition from another request: the same key of one caller must ask for the same thing. */
export function fingerprint({ method, queue, key, contentType, payload }: Asked): string {
  const head = JSON.stringify([method, queue, key, contentType])
  if (payload.length === 0) return hash('sha256', head, 'base64url')
  return createHash('sha256').update(head).update(payload).digest('base64url')
}
