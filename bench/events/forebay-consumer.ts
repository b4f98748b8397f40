import { setTimeout as sleep } from 'node:timers/promises'
import { kafkaBroker } from '@forebay/broker/kafka'
import { createConsumer } from '@forebay/events'
import { HANDLER_MS, HandledOrders } from './handled-orders.ts'
import { orderPlacedOn } from './order-placed.ts'

/** forebay-consumer.ts BOOTSTRAP TOPIC SECONDS CONCURRENCY */
const [bootstrap, topic, seconds, concurrency] = process.argv.slice(2) as [string, string, string, string]
const handled = new HandledOrders(Number(seconds))
const consumer = await createConsumer({
  broker: kafkaBroker({ bootstrap: [bootstrap] }),
  group: `bench-${process.pid}`,
  events: [orderPlacedOn(topic)],
  concurrency: Number(concurrency),
  handlers: {
    order_placed: async ({ key }, { position }) => {
      handled.begin(key!, position.offset)
      await sleep(HANDLER_MS)
      handled.end(key!)
    },
  },
})
await handled.over
handled.tell()
await consumer.stop({ graceMs: 1_000 })
