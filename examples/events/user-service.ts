import { createProducer, type ProducerOptions } from '@forebay/events'
import { accountClosed, accountCreated } from './accounts.ts'

/** Tells what happens to accounts, and knows nothing of who listens. */
export async function startUserService(broker: ProducerOptions['broker']) {
  const producer = await createProducer({ broker, source: '/user-service', events: [accountCreated, accountClosed] })
  return {
    register: (userId: string, name: string) =>
      producer.publish(accountCreated, { data: { userId, name, email: `${userId}@example.com` } }),
    leave: (userId: string) => producer.publish(accountClosed, { data: { userId } }),
    stop: () => producer.close(),
  }
}
