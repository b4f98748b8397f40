import { setTimeout as sleep } from 'node:timers/promises'
import { Consumer, MessagesStreamModes, stringDeserializers } from '@platformatic/kafka'
import { HANDLER_MS, HandledOrders } from './handled-orders.ts'

/** platformatic-consumer.ts BOOTSTRAP TOPIC SECONDS: one after the other, which is what keeps a key's order without more code. */
const [bootstrap, topic, seconds] = process.argv.slice(2) as [string, string, string]
const handled = new HandledOrders(Number(seconds))
const consumer = new Consumer({
  clientId: 'bench',
  groupId: `bench-${process.pid}`,
  bootstrapBrokers: [bootstrap],
  deserializers: stringDeserializers,
})
const stream = await consumer.consume({
  topics: [topic],
  mode: MessagesStreamModes.EARLIEST,
  autocommit: true,
})
for await (const { key, value, offset } of stream) {
  if (handled.isOver) break
  JSON.parse(value)
  handled.begin(key, Number(offset))
  await sleep(HANDLER_MS)
  handled.end(key)
}
handled.tell()
await consumer.close(true)
