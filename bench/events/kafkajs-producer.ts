import { createRequire } from 'node:module'
import { recordOf } from './event-client.ts'
import { runLoads } from './run-loads.ts'

/**
 * kafkajs-producer.ts BOOTSTRAP TOPIC SECONDS MODULE: kafkajs, or Confluent's client, which has the same calls. MODULE is the
 * folder of the package. Also runs with Node 20 once its types are stripped.
 */
const [bootstrap, topic, seconds, module] = process.argv.slice(2) as [string, string, string, string]

/** What we ask of either. */
interface Library {
  readonly Kafka: new (options: object) => { producer(options?: object): Producer }
}

interface Producer {
  connect(): Promise<void>
  disconnect(): Promise<void>
  send(batch: { topic?: string; acks?: number; messages: ReturnType<typeof recordOf>[] }): Promise<unknown>
}

const library = createRequire(import.meta.url)(module) as Library & { readonly KafkaJS?: Library }
const isConfluent = library.KafkaJS !== undefined
const { Kafka } = library.KafkaJS ?? library
const options = { clientId: 'bench', brokers: [bootstrap], logLevel: 1 }
const producer = isConfluent
  ? new Kafka({ kafkaJS: options }).producer({ kafkaJS: { acks: -1 } })
  : new Kafka(options).producer()
await producer.connect()
await runLoads(
  {
    publish(orders) {
      const messages = orders.map(recordOf)
      return isConfluent ? producer.send({ topic, messages }) : producer.send({ topic, messages, acks: -1 })
    },
    close: () => producer.disconnect(),
  },
  Number(seconds),
)
