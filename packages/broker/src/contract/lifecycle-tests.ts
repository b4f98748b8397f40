import assert from 'node:assert/strict'
import { PublishError } from '../broker.ts'
import type { ContractTest } from './contract.ts'
import { consume, range, record, records, text } from './contract-log.ts'
import { RecordReader } from './readers.ts'

export const lifecycleTests: readonly ContractTest[] = [
  {
    name: 'opening again with topics that exist keeps their partitions and records',
    async run(log) {
      const topic = log.topic(3)
      const first = await log.open([topic])
      await first.publish(records(topic, 4, 2))
      await first.close()
      const second = await log.open([{ ...topic, partitions: 5 }])
      const states = await second.inspect({ topics: [topic.name] })
      assert.deepEqual(states.map((one) => one.partition).sort(), [0, 1, 2])
      assert.equal(states.find((one) => one.partition === 2)!.end, 4)
    },
  },
  {
    name: 'opened once more, it makes further topics, and what reads goes on',
    async run(log) {
      const [topic, further] = [log.topic(), log.topic(2)]
      const broker = await log.open([topic])
      const { reader } = await consume(broker, { topics: [topic.name], group: log.group() })
      await broker.open({ topics: [topic, further] })
      await broker.publish([record(topic, 'one'), record(further, 'two', { partition: 1 })])
      assert.equal(text((await reader.take(1))[0]!.record.value), 'one')
      const other = await consume(broker, { topics: [further.name], group: log.group() })
      assert.equal(text((await other.reader.take(1))[0]!.record.value), 'two')
    },
  },
  {
    name: 'inspect tells start, end and committed of each partition',
    async run(log) {
      const topic = log.topic(2)
      const group = log.group()
      const broker = await log.open([topic])
      await broker.publish(records(topic, 6, 1))
      const unknown = await broker.inspect({ topics: [topic.name], group })
      assert.deepEqual(
        unknown.map((one) => ({ ...one })).sort((one, other) => one.partition - other.partition),
        range(0, 2).map((partition) => ({
          topic: topic.name,
          partition,
          start: 0,
          end: partition * 6,
          committed: null,
        })),
      )
      const { reader, subscription } = await consume(broker, { topics: [topic.name], group })
      for (const delivery of (await reader.take(6)).slice(0, 4)) delivery.settle()
      await subscription.close()
      const states = await broker.inspect({ topics: [topic.name], group })
      assert.equal(states.find((one) => one.partition === 1)!.committed, 4)
      const groupless = await broker.inspect({ topics: [topic.name] })
      assert.ok(groupless.every((one) => one.committed === null))
      const absent = log.topic(1)
      assert.deepEqual(await broker.inspect({ topics: [absent.name] }), [], 'a topic that is not there')
    },
  },
  {
    name: 'close lets what was published before it finish: resolved and durable, or rejected, never pending',
    async run(log) {
      const topic = log.topic(2)
      const first = await log.open([topic])
      const calls = range(0, 200).map((index) => first.publish([record(topic, `${index}`, { partition: index % 2 })]))
      const outcomes = Promise.allSettled(calls)
      await first.close()
      const durable = new Set<string>()
      for (const [index, outcome] of (await outcomes).entries()) {
        if (outcome.status === 'fulfilled') durable.add(`${index}`)
        else assert.ok(outcome.reason instanceof PublishError, String(outcome.reason))
      }
      assert.ok(durable.size > 0, 'a log that is well takes what it was given before close')

      const second = await log.open([topic])
      for (const partition of range(0, 2)) {
        const [marker] = await second.publish([record(topic, 'marker', { partition })])
        const listener = await second.listen({ topic: topic.name, partition, from: 'earliest' })
        const read = await new RecordReader(listener).takeUntil((one) => one.offset === marker!.offset)
        for (const one of read) durable.delete(text(one.value)!)
      }
      assert.deepEqual([...durable], [], 'all that was acknowledged is there')
    },
  },
  {
    name: 'close ends every iteration, may be called twice, and publishing afterwards is refused',
    async run(log) {
      const topic = log.topic()
      const broker = await log.open([topic])
      const { reader, subscription } = await consume(broker, { topics: [topic.name], group: log.group() })
      const listener = await broker.listen({ topic: topic.name, partition: 0, from: 'latest' })
      const ended = Promise.all([reader.ended(), new RecordReader(listener).ended()])
      await Promise.all([broker.close(), broker.close()])
      await ended
      await broker.close()
      await subscription.close()
      await listener.close()
      const error = await broker.publish([record(topic, 'late')]).then(
        () => assert.fail('a closed broker took a record'),
        (thrown: unknown) => thrown,
      )
      assert.ok(error instanceof PublishError, String(error))
      assert.deepEqual(
        error.failed.map((one) => [one.index, one.outcome]),
        [[0, 'refused']],
      )
    },
  },
  {
    name: 'a closed subscription ends its iteration, ignores later settling, and may be closed twice',
    async run(log) {
      const topic = log.topic()
      const group = log.group()
      const broker = await log.open([topic])
      await broker.publish(records(topic, 3))
      const { reader, subscription } = await consume(broker, { topics: [topic.name], group })
      const deliveries = await reader.take(3)
      const ended = reader.ended()
      await subscription.close()
      await ended
      await subscription.close()
      for (const delivery of deliveries) {
        assert.ok(delivery.lost.aborted)
        delivery.settle()
      }
      const again = await consume(broker, { topics: [topic.name], group })
      assert.equal((await again.reader.take(3)).length, 3)
    },
  },
]
