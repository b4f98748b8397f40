import { kafkaBroker } from '@forebay/broker/kafka'
import { createProducer } from '@forebay/events'
import { orderPlacedOn } from './order-placed.ts'
import { runLoads } from './run-loads.ts'

/** forebay-producer.ts BOOTSTRAP TOPIC SECONDS */
const [bootstrap, topic, seconds] = process.argv.slice(2) as [string, string, string]
const orderPlaced = orderPlacedOn(topic)
const broker = kafkaBroker({ bootstrap: [bootstrap] })
const producer = await createProducer({ broker, source: '/bench', events: [orderPlaced] })
await runLoads(
  {
    publish: (orders) => Promise.all(orders.map((data) => producer.publish(orderPlaced, { data }))),
    close: () => producer.close(),
  },
  Number(seconds),
)
