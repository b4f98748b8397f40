import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Broker, ConsumeRequest, LogRecord, TopicSpec } from '../broker.ts'
import type { ContractTest } from './contract.ts'
import { consume, record, records, text } from './contract-log.ts'
import { offsetsOf, RecordReader } from './readers.ts'

/** Where reading begins: at a time, and in groups that are new. */
export const placeTests: readonly ContractTest[] = [
  {
    name: 'listening from a time begins at the first record that is as late, or at the end',
    async run(log) {
      const topic = log.topic()
      const broker = await log.open([topic])
      await publishSpread(broker, topic)
      const all = await readAll(broker, topic)
      for (const timeMs of [0, ...all.map((one) => one.timestampMs), all.at(-1)!.timestampMs + 3_600_000]) {
        const [state] = await broker.inspect({ topics: [topic.name] })
        const listener = await broker.listen({ topic: topic.name, partition: 0, from: { timeMs } })
        const expected = all.find((one) => one.timestampMs >= timeMs)?.offset ?? state!.end
        assert.equal(listener.from, expected, `from ${timeMs}`)
        const reader = new RecordReader(listener)
        await broker.publish([record(topic, 'live')])
        const [first] = await reader.take(1)
        assert.equal(first!.offset, expected)
        await listener.close()
      }
    },
  },
  {
    name: 'a new group from latest hears what is published once consume has resolved, and nothing from before',
    async run(log) {
      const topic = log.topic(2)
      const group = log.group()
      const broker = await log.open([topic])
      await broker.publish([...records(topic, 5, 0, 'before'), ...records(topic, 5, 1, 'before')])
      const { reader } = await consume(broker, { topics: [topic.name], group, from: 'latest' })
      await broker.publish([...records(topic, 2, 0, 'after'), ...records(topic, 2, 1, 'after')])
      const values = (await reader.take(4)).map((one) => text(one.record.value)).sort()
      assert.deepEqual(values, ['after-0', 'after-0', 'after-1', 'after-1'])
    },
  },
  {
    name: 'a group that began at latest keeps its place: what was delivered and not settled comes again',
    async run(log) {
      const topic = log.topic()
      const request: ConsumeRequest = { topics: [topic.name], group: log.group(), from: 'latest' }
      const first = await log.open([topic])
      await first.publish(records(topic, 5, 0, 'before'))
      const before = await consume(first, request)
      const sent = await first.publish(records(topic, 3, 0, 'after'))
      await before.reader.take(3)
      await first.close()

      const second = await log.open([topic])
      const again = await consume(second, request)
      assert.deepEqual(
        offsetsOf(await again.reader.take(3)),
        sent.map((one) => one.offset),
      )
    },
  },
  {
    name: 'a new group from a time begins at the first record that is as late; one that has a position goes on there',
    async run(log) {
      const topic = log.topic()
      const group = log.group()
      const broker = await log.open([topic])
      await publishSpread(broker, topic)
      const all = await readAll(broker, topic)
      const { timestampMs: timeMs } = all.at(-1)!
      const expected = all.filter((one) => one.timestampMs >= timeMs).map((one) => one.offset)
      assert.ok(expected.length < all.length, 'the clock went on while records were published')
      const fresh = await consume(broker, { topics: [topic.name], group, from: { timeMs } })
      const deliveries = await fresh.reader.take(expected.length)
      assert.deepEqual(offsetsOf(deliveries), expected)
      for (const delivery of deliveries) delivery.settle()
      await fresh.subscription.close()

      for (const from of ['earliest', 'latest', { timeMs: 0 }] as const) {
        const [later] = await broker.publish([record(topic, 'later')])
        const known = await consume(broker, { topics: [topic.name], group, from })
        const [delivery] = await known.reader.take(1)
        assert.equal(delivery!.record.offset, later!.offset)
        delivery!.settle()
        await known.subscription.close()
      }
    },
  },
]

/** Records at several times. */
async function publishSpread(broker: Broker, topic: TopicSpec): Promise<void> {
  for (let round = 0; round < 4; round++) {
    await broker.publish(records(topic, 3, 0, `round-${round}`))
    await sleep(20)
  }
}

async function readAll(broker: Broker, topic: TopicSpec): Promise<readonly LogRecord[]> {
  const [state] = await broker.inspect({ topics: [topic.name] })
  const listener = await broker.listen({ topic: topic.name, partition: 0, from: 'earliest' })
  const all = await new RecordReader(listener).takeUntil((one) => one.offset === state!.end - 1)
  await listener.close()
  return all
}
