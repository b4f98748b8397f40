import { type ConsumerOptions, createConsumer } from '@forebay/events'
import { accountCreated } from './accounts.ts'

/** Thought of later: it reads from the beginning, and only what it knows. Nobody else changes for it. */
export function startCountService(broker: ConsumerOptions['broker'], count: (total: number) => void) {
  let total = 0
  return createConsumer({
    broker,
    group: 'count-service',
    events: [accountCreated],
    handlers: { account_created: () => count(++total) },
  })
}
