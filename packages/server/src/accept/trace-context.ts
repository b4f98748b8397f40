import type { TaskHeader } from '../task.ts'

/**
 * W3C trace context of a request as headers of its task. What is not well-formed is dropped, as the recommendation
 * asks: a broken trace is no reason to refuse work.
 */
export function traceHeaders(traceparent: string | undefined, tracestate: string | undefined): readonly TaskHeader[] {
  if (traceparent === undefined || !isTraceparent(traceparent)) return NONE
  const headers: TaskHeader[] = [['traceparent', traceparent]]
  if (tracestate !== undefined && TRACESTATE.test(tracestate)) headers.push(['tracestate', tracestate])
  return headers
}

export function isTraceparent(text: string): boolean {
  return (
    TRACEPARENT.test(text) &&
    !text.startsWith('ff') &&
    !text.startsWith(ZEROES_32, 3) &&
    !text.startsWith(ZEROES_16, 36)
  )
}

const NONE: readonly TaskHeader[] = []
/** Later versions may add fields; version 00 has none. */
const TRACEPARENT =
  /^(?:00-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}|(?!00)[\da-f]{2}-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}(?:-[\x21-\x7e]{1,200})?)$/
const TRACESTATE = /^[\x20-\x7e\t]{1,512}$/
const ZEROES_32 = '0'.repeat(32)
const ZEROES_16 = '0'.repeat(16)
