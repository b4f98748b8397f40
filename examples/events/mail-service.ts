import { type ConsumerOptions, createConsumer } from '@forebay/events'
import { accountClosed, accountCreated } from './accounts.ts'

/** Greets and says goodbye; for each account in that order, also when the first try fails. */
export function startMailService(broker: ConsumerOptions['broker'], send: (mail: string) => Promise<void>) {
  return createConsumer({
    broker,
    group: 'mail-service',
    events: [accountCreated, accountClosed],
    handlers: {
      account_created: ({ data }) => send(`to ${data.email}: welcome, ${data.name}`),
      account_closed: ({ data }) => send(`to ${data.userId}@example.com: goodbye`),
    },
  })
}
