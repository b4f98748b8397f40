import assert from 'node:assert/strict'
import type { ContractTest } from './contract.ts'
import { consume, eventually, range, record, records, text } from './contract-log.ts'
import { offsetsOf } from './readers.ts'

export const consumeTests: readonly ContractTest[] = [
  {
    name: 'a new group starts at the earliest record, those published before it included',
    async run(log) {
      const topic = log.topic()
      const broker = await log.open([topic])
      await broker.publish(records(topic, 5))
      const { reader } = await consume(broker, { topics: [topic.name], group: log.group() })
      await broker.publish([record(topic, 'later')])
      const values = (await reader.take(6)).map((one) => text(one.record.value))
      assert.deepEqual(values, ['record-0', 'record-1', 'record-2', 'record-3', 'record-4', 'later'])
    },
  },
  {
    name: 'one subscription reads several topics',
    async run(log) {
      const topics = [log.topic(2), log.topic(1)]
      const broker = await log.open(topics)
      const { reader } = await consume(broker, { topics: topics.map((one) => one.name), group: log.group() })
      await broker.publish([...records(topics[0]!, 3, 1, 'one'), ...records(topics[1]!, 3, 0, 'two')])
      const values = (await reader.take(6)).map((one) => text(one.record.value)).sort()
      assert.deepEqual(values, ['one-0', 'one-1', 'one-2', 'two-0', 'two-1', 'two-2'])
    },
  },
  {
    name: 'two groups each hear everything',
    async run(log) {
      const topic = log.topic()
      const broker = await log.open([topic])
      const first = await consume(broker, { topics: [topic.name], group: log.group() })
      const second = await consume(broker, { topics: [topic.name], group: log.group() })
      await broker.publish(records(topic, 4))
      const [one, two] = await Promise.all([first.reader.take(4), second.reader.take(4)])
      for (const delivery of one) delivery.settle()
      assert.equal(new Set(offsetsOf(one)).size, 4)
      assert.deepEqual(offsetsOf(one), offsetsOf(two))
    },
  },
  {
    name: 'what was not settled comes again after close and reopen; what was settled does not',
    async run(log) {
      const topic = log.topic()
      const group = log.group()
      const first = await log.open([topic])
      const sent = await first.publish(records(topic, 20))
      const before = await consume(first, { topics: [topic.name], group })
      for (const delivery of (await before.reader.take(20)).slice(0, 8)) delivery.settle()
      await first.close()

      const second = await log.open([topic])
      const again = await consume(second, { topics: [topic.name], group })
      assert.deepEqual(
        offsetsOf(await again.reader.take(12)),
        sent.slice(8).map((one) => one.offset),
      )
    },
  },
  {
    name: 'settled in any order, only what is unsettled comes again, after closing one subscription and after a clean restart',
    unless: ({ doneSetSurvivesRestart }) =>
      doneSetSurvivesRestart ? null : 'its positions remember only the watermark',
    async run(log) {
      const topic = log.topic()
      const group = log.group()
      const unsettled = [0, 3, 4, 17, 28]
      const first = await log.open([topic])
      const sent = await first.publish(records(topic, 30))
      const before = await consume(first, { topics: [topic.name], group })
      const deliveries = await before.reader.take(30)
      for (const index of range(0, 30).reverse()) if (!unsettled.includes(index)) deliveries[index]!.settle()
      await before.subscription.close()

      const expected = unsettled.map((index) => sent[index]!.offset)
      const sameProcess = await consume(first, { topics: [topic.name], group })
      assert.deepEqual(offsetsOf(await sameProcess.reader.take(5)), expected)
      await first.close()

      const second = await log.open([topic])
      const restarted = await consume(second, { topics: [topic.name], group })
      const [marker] = await second.publish([record(topic, 'marker')])
      assert.deepEqual(offsetsOf(await restarted.reader.take(6)), [...expected, marker!.offset])
    },
  },
  {
    name: 'the committed position follows the first unsettled record and never passes it',
    async run(log) {
      const topic = log.topic()
      const group = log.group()
      const broker = await log.open([topic])
      const sent = await broker.publish(records(topic, 10))
      const { reader, subscription } = await consume(broker, { topics: [topic.name], group })
      const deliveries = await reader.take(10)
      const committed = async () => (await broker.inspect({ topics: [topic.name], group }))[0]!.committed

      for (const delivery of deliveries.slice(0, 3)) delivery.settle()
      await eventually('three are committed', async () => (await committed()) === sent[3]!.offset)
      for (const delivery of deliveries.slice(4)) delivery.settle()
      await subscription.close()
      assert.equal(await committed(), sent[3]!.offset, 'the fourth is not settled')
    },
  },
  {
    name: 'settling twice does nothing the second time',
    async run(log) {
      const topic = log.topic()
      const group = log.group()
      const broker = await log.open([topic])
      const sent = await broker.publish(records(topic, 3))
      const { reader, subscription } = await consume(broker, { topics: [topic.name], group })
      const [first] = await reader.take(3)
      for (const _ of range(0, 3)) first!.settle()
      await subscription.close()
      const again = await consume(broker, { topics: [topic.name], group })
      assert.deepEqual(offsetsOf(await again.reader.take(2)), [sent[1]!.offset, sent[2]!.offset])
    },
  },
  {
    name: '10,000 records come through publish, consume and settle exactly once and in order when all is calm',
    async run(log) {
      const topic = log.topic(6)
      const group = log.group()
      const broker = await log.open([topic])
      const { reader, subscription } = await consume(broker, { topics: [topic.name], group })
      const publishing = range(0, 100).map((call) =>
        broker.publish(range(0, 100).map((index) => record(topic, `${call * 100 + index}`, { partition: index % 6 }))),
      )
      const seen = new Map<number, number[]>()
      for (let taken = 0; taken < 10_000; taken += 100) {
        for (const delivery of await reader.take(100)) {
          const list = seen.get(delivery.record.partition) ?? []
          seen.set(delivery.record.partition, list)
          list.push(Number(text(delivery.record.value)))
          delivery.settle()
        }
      }
      await Promise.all(publishing)
      for (const partition of range(0, 6)) {
        const expected = range(0, 10_000).filter((number) => (number % 100) % 6 === partition)
        assert.deepEqual(seen.get(partition), expected, `partition ${partition}`)
      }
      await subscription.close()
      for (const state of await broker.inspect({ topics: [topic.name], group }))
        assert.equal(state.committed, state.end)
    },
  },
]
