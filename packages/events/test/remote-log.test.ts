import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { forebayBroker } from '@forebay/broker/remote'
import { type ForebayServer, startForebay } from '../../broker/test/support/forebay-server.ts'
import { createConsumer } from '../src/consumer.ts'
import { createProducer } from '../src/producer.ts'
import { created, EMAIL, verified } from './some-events.ts'

let server: ForebayServer
before(async () => {
  server = await startForebay()
})
after(() => server[Symbol.asyncDispose]())

test('services on the log of a server: order per key, retries, and nothing is lost when the server is killed', async () => {
  const log = () => forebayBroker({ server: server.address })
  const seen = new Map<string, string[]>()
  const told = Promise.withResolvers<void>()
  const users = Array.from({ length: 20 }, (_, index) => `user-${index}`)
  const failed = new Set<string>()
  function note(user: string, what: string): void {
    const list = seen.get(user) ?? []
    seen.set(user, list)
    // The server comes back in between, so an event may come twice.
    if (!list.includes(what)) list.push(what)
    if (users.every((one) => seen.get(one)?.length === 2)) told.resolve()
  }
  await using consumer = await createConsumer({
    broker: log(),
    group: 'greeters',
    events: [created, verified],
    retry: { backoffMs: 10, backoffMaxMs: 50 },
    handlers: {
      user_account_created: ({ data }) => {
        if (!failed.has(data.userId)) {
          failed.add(data.userId)
          throw new Error('The first try fails.')
        }
        note(data.userId, 'created')
      },
      user_account_verified: ({ data }) => note(data.userId, 'verified'),
    },
  })
  await using producer = await createProducer({ broker: log(), source: '/user-service', events: [created, verified] })
  const publishAll = (some: readonly string[]) =>
    Promise.all(
      some.flatMap((userId) => [
        producer.publish(created, { data: { userId, email: EMAIL } }),
        producer.publish(verified, { data: { userId } }),
      ]),
    )
  await publishAll(users.slice(0, 10))
  await server.kill()
  const publishing = publishAll(users.slice(10))
  await server.restart()
  await publishing
  await told.promise
  for (const user of users) assert.deepEqual(seen.get(user), ['created', 'verified'], user)
  assert.equal(consumer.counts.dead, 0)
})
