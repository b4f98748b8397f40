import { parseArgs } from 'node:util'
import { kafkaBroker } from '@forebay/broker/kafka'
import { createConsumer, createProducer } from '@forebay/events'
import { startKafka } from '../../scripts/rig/kafka.ts'
import { accountClosed, accountCreated } from '../events/accounts.ts'
import { startPythonConsumer, startPythonProducer } from './python.ts'

/** `npm run example -- python-events [--broker kafka://host:port]`: each language reads what the other published. */
const { values } = parseArgs({ options: { broker: { type: 'string' } } })
const [, given] = /^kafka:\/\/(.+)$/.exec(values.broker ?? '') ?? []
console.log('cloudevents and confluent-kafka are installed once, in ~/.cache/forebay/python …')
await using kafka = given === undefined ? await startKafka() : null
const bootstrap = given ?? kafka!.bootstrap
const broker = () => kafkaBroker({ bootstrap: bootstrap.split(',') })
const events = [accountCreated, accountClosed] as const

await using producer = await createProducer({ broker: broker(), source: '/user-service', events })
await using pythonProducer = await startPythonProducer(bootstrap, accountCreated.topic)
await using pythonConsumer = await startPythonConsumer(bootstrap, 'python-service', accountCreated.topic)

const goodbye = Promise.withResolvers<void>()
await using _consumer = await createConsumer({
  broker: broker(),
  group: 'mail-service',
  events,
  handlers: {
    account_created: ({ source, data }) => console.log(`node   has from ${source}: ${data.name} is there`),
    account_closed: ({ source, data }) => {
      console.log(`node   has from ${source}: ${data.userId} has left`)
      goodbye.resolve()
    },
  },
})
await producer.publish(accountCreated, { data: { userId: 'ada', name: 'Ada', email: 'ada@example.com' } })
await pythonProducer.publish({ type: 'account_closed', key: 'ada', data: { userId: 'ada' } })
await goodbye.promise
const [closed] = await pythonConsumer.line(/.*account_closed.*/)
for (const line of pythonConsumer.output().split('\n')) {
  if (!line.startsWith('{')) continue
  const { attributes } = JSON.parse(line) as { attributes: Record<string, string> }
  console.log(`python has from ${attributes.source}: ${attributes.type} of ${attributes.partitionkey}`)
}
if (!closed.includes('/python-service')) process.exitCode = 1
