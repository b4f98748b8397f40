import { essenceOf, isJson } from '../media-type.ts'
import type { Outcome } from '../task.ts'
import { cutText, MESSAGE_BYTES_MAX } from './cut-text.ts'
import { RETRY_AFTER_MAX_MS } from './limits.ts'

/**
 * What the answer of an HTTP target means for the task, when it is not 2xx.
 *
 * | status | then | code |
 * |---|---|---|
 * | 408, 425, 429, 5xx but those below | retry, not before Retry-After | WORKER_FAILED; TARGET_UNAVAILABLE for 429, 502, 503, 504 |
 * | 501, 505, other 4xx | final: the request is at fault | TARGET_REFUSED |
 * | 401, 407 | dead: it is this server that is not let in; its operator can mend that and redrive | TARGET_REFUSED |
 * | 3xx | dead: redirects are not followed, the target's URL is out of date | TARGET_REFUSED |
 */
export function outcomeOfHttpStatus(answer: HttpAnswer): Outcome {
  const { status, worker } = answer
  const message = messageOf(answer)
  const then = thenOf(status)
  if (then !== 'retry') return { kind: 'failed', code: 'TARGET_REFUSED', message, then, worker }
  const retry = {
    kind: 'failed',
    code: UNAVAILABLE.has(status) ? 'TARGET_UNAVAILABLE' : 'WORKER_FAILED',
    message,
    then,
    worker,
  } as const
  const retryAfterMs = parseRetryAfter(answer.retryAfter, answer.wallMs)
  return retryAfterMs === null ? retry : { ...retry, retryAfterMs }
}

export interface HttpAnswer {
  readonly status: number
  readonly contentType: string
  /** The beginning of the body. */
  readonly body: Uint8Array
  readonly retryAfter: string | undefined
  readonly location: string | undefined
  /** For a Retry-After that is a date. */
  readonly wallMs: number
  /** Who answered, for the history. */
  readonly worker: string
}

/** Seconds or an HTTP date; null when it is neither, or already over. ms */
export function parseRetryAfter(value: string | undefined, wallMs: number): number | null {
  if (value === undefined) return null
  const text = value.trim()
  const ms = /^\d{1,10}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - wallMs
  return ms > 0 ? Math.min(ms, RETRY_AFTER_MAX_MS) : null
}

function thenOf(status: number): 'retry' | 'final' | 'dead' {
  if (status === 408 || status === 425 || status === 429) return 'retry'
  if (status === 401 || status === 407) return 'dead'
  if (status === 501 || status === 505) return 'final'
  if (status >= 500) return 'retry'
  return status >= 400 ? 'final' : 'dead'
}

function messageOf({ status, contentType, body, location }: HttpAnswer): string {
  const said = isText(contentType) ? cutText(Buffer.from(body).toString('utf8'), BODY_BYTES_SHOWN).trim() : ''
  const where = location === undefined ? '' : ` to ${cutText(location, BODY_BYTES_SHOWN)}, which is not followed`
  return cutText(`The target answered ${status}${where}${said === '' ? '.' : `: ${said}`}`, MESSAGE_BYTES_MAX)
}

function isText(contentType: string): boolean {
  return isJson(contentType) || essenceOf(contentType).startsWith('text/')
}

/** What is kept of the body of a refusal. */
export const BODY_BYTES_SHOWN = 1024

const UNAVAILABLE: ReadonlySet<number> = new Set([429, 502, 503, 504])
