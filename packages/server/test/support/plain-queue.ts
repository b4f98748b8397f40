/** The policies of a queue that asks for nothing special; spread it into what a test is about. */
export const PLAIN_POLICIES = {
  rate: null,
  perKey: { concurrency: null, rate: null },
  fairness: null,
  breaker: null,
  onExhausted: 'dead',
  resultTopic: null,
  onClientGone: 'continue',
  schedule: [],
  idempotency: { required: false, windowMs: 3_600_000 },
} as const
