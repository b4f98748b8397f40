import { createHash, hash } from 'node:crypto'
import { ForebayError } from '@forebay/protocol'
import type { QueueOptions } from '../options.ts'
import { PRIORITY_DEFAULT } from '../task.ts'
import type { Timing } from './timing.ts'

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

/** The same for a queue's tasks. Throws IDEMPOTENCY_KEY_MISSING where the queue takes none without. */
export function idempotencyKeyFor(queue: QueueOptions, text: string | undefined): string | null {
  const key = readIdempotencyKey(text)
  if (key === null && queue.idempotency.required) {
    throw new ForebayError(
      'IDEMPOTENCY_KEY_MISSING',
      `Queue "${queue.name}" takes no task without an Idempotency-Key; send one that is new for each new task, and the same again when you repeat one.`,
      { members: { queue: queue.name } },
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
  /** As it was named, so that a moment stays the same however often it is asked for. */
  readonly timing: Pick<Timing, 'delayMs' | 'notBeforeMs'>
  readonly priority: number
  /** In its normal form. Default: none. */
  readonly callback?: string | null
}

/** Tells a repetition from another request: the same key of one caller must ask for the same thing. */
export function fingerprint({
  method,
  queue,
  key,
  contentType,
  payload,
  timing,
  priority,
  callback = null,
}: Asked): string {
  const { delayMs, notBeforeMs } = timing
  const special = delayMs > 0 || notBeforeMs !== null || priority !== PRIORITY_DEFAULT
  const more = [...(special ? [delayMs, notBeforeMs, priority] : []), ...(callback === null ? [] : [{ callback }])]
  const head = JSON.stringify([method, queue, key, contentType, ...more])
  if (payload.length === 0) return hash('sha256', head, 'base64url')
  return createHash('sha256').update(head).update(payload).digest('base64url')
}
