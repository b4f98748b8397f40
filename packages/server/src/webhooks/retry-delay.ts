import type { Random } from '@forebay/broker'
import { parseRetryAfter } from '../execute/http-outcome.ts'
import type { CallbackConclusion } from '../store/callbacks.ts'
import type { Sent } from './send.ts'

export interface Retry {
  /** Calls made before this one. */
  readonly tries: number
  /** Waits between one call and the next; after the last there is none. ms */
  readonly waitsMs: readonly number[]
  /** For a Retry-After that is a date. */
  readonly wallMs: number
  readonly random: Random
}

/** What becomes of a callback after a call. A receiver that asks for more time gets it, up to an hour. */
export function afterCall(sent: Exclude<Sent, { kind: 'cut' }>, retry: Retry): CallbackConclusion['then'] {
  if (sent.kind === 'answered') {
    if (sent.status >= 200 && sent.status < 300) return { kind: 'delivered' }
    if (sent.status === 410) return { kind: 'disabled' }
  }
  const waitMs = retry.waitsMs[retry.tries]
  if (waitMs === undefined) return { kind: 'given-up' }
  // Around the step, so that those that failed together do not come again together.
  const inMs = Math.round(waitMs * (1 - JITTER + 2 * JITTER * retry.random.unit()))
  const asksForTime = sent.kind === 'answered' && (sent.status === 429 || sent.status === 503)
  const askedMs = asksForTime ? parseRetryAfter(sent.retryAfter, retry.wallMs) : null
  return { kind: 'again', inMs: Math.max(inMs, askedMs ?? 0) }
}

/** Why a call failed, for the delivery log; null when it did not. */
export function detailOf(sent: Exclude<Sent, { kind: 'cut' }>): string | null {
  if (sent.kind === 'failed') return sent.detail
  const { status } = sent
  if (status >= 200 && status < 300) return null
  if (status >= 300 && status < 400) return `The receiver answered ${status}; redirects are not followed.`
  if (status === 410) return 'The receiver answered 410: it wants nothing more at this URL.'
  return `The receiver answered ${status}.`
}

/** Share of a wait by which it may be shorter or longer. */
const JITTER = 0.1
