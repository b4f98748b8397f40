import type { EncodedEvent } from '../src/cloudevents/encoded-event.ts'

/** An event of a test's own. */
export function encoded(over: Partial<EncodedEvent> = {}): EncodedEvent {
  return {
    id: 'e-1',
    source: '/user-service',
    type: 'user_account_verified',
    version: 1,
    key: 'u-1',
    timeMs: 1_700_000_000_000,
    subject: null,
    traceparent: null,
    tracestate: null,
    extensions: {},
    bytes: Buffer.from('{"userId":"u-1"}'),
    contentType: 'application/json',
    dataSchema: null,
    ...over,
  }
}
