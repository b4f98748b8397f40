import { randomBytes } from 'node:crypto'

/** W3C trace context: one trace id from the HTTP request over the event to the mail, and in every line of the logs. */
export interface Trace {
  readonly traceId: string
  /** For whoever comes next. */
  readonly traceparent: string
}

/** Goes on with the trace of whoever called; one that is missing or is none begins anew. */
export function continueTrace(traceparent: unknown): Trace {
  const [, given, flags = SAMPLED] = (typeof traceparent === 'string' && TRACEPARENT.exec(traceparent)) || []
  const traceId = given ?? randomBytes(16).toString('hex')
  return { traceId, traceparent: `00-${traceId}-${randomBytes(8).toString('hex')}-${flags}` }
}

const SAMPLED = '01'
const TRACEPARENT = /^00-(?!0{32})([\da-f]{32})-(?!0{16})[\da-f]{16}-([\da-f]{2})$/
