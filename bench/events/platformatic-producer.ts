import { ProduceAcks, Producer, stringSerializers } from '@platformatic/kafka'
import { recordOf } from './event-client.ts'
import { runLoads } from './run-loads.ts'

/** platformatic-producer.ts BOOTSTRAP TOPIC SECONDS: the client that our Kafka adapter uses, by itself. */
const [bootstrap, topic, seconds] = process.argv.slice(2) as [string, string, string]
const producer = new Producer({ clientId: 'bench', bootstrapBrokers: [bootstrap], serializers: stringSerializers })
await runLoads(
  {
    publish(orders) {
      const messages = orders.map((order) => ({ topic, ...recordOf(order) }))
      return producer.send({ messages, acks: ProduceAcks.ALL })
    },
    close: () => producer.close(),
  },
  Number(seconds),
)
