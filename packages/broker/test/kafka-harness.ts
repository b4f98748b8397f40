import { startKafka } from '../../../scripts/rig/kafka.ts'
import type { Broker } from '../src/broker.ts'
import type { BrokerHarness, ConnectOptions, ForeignRecord } from '../src/contract/contract.ts'
import { kafkaBroker } from '../src/kafka/kafka.ts'

/** A Kafka of its own, because the suite stops and starts it. */
export async function openKafkaHarness(): Promise<BrokerHarness> {
  const kafka = await startKafka()
  return {
    connect: (options) => connect(kafka.bootstrap, options),
    child: { url: import.meta.url, argument: kafka.bootstrap },
    writeForeign: (record) => writeForeign(kafka.bootstrap, record),
    outage: { stopLog: () => kafka.kill(), startLog: () => kafka.restart() },
    close: async () => kafka[Symbol.asyncDispose](),
  }
}

/** Also what the suite's child processes call. */
export function connect(bootstrap: string, options: ConnectOptions): Broker {
  return kafkaBroker({ bootstrap: bootstrap.split(','), ...options })
}

/** By the library's own producer, which shares no encoding with ours. */
export async function writeForeign(bootstrap: string, record: ForeignRecord): Promise<void> {
  const { Producer } = await import('@platformatic/kafka')
  const producer = new Producer({ clientId: 'foreign', bootstrapBrokers: bootstrap.split(',') })
  try {
    const { topic, partition, key, value, headers } = record
    const message = {
      topic,
      partition,
      ...(key === null ? {} : { key: Buffer.from(key) }),
      ...(value === null ? {} : { value: Buffer.from(value) }),
      headers: new Map(headers.map(([name, content]) => [Buffer.from(name), Buffer.from(content)])),
    }
    await producer.send({ messages: [message], acks: -1 })
  } finally {
    await producer.close()
  }
}
