import assert from 'node:assert/strict'
import type { ContractTest } from './contract.ts'
import { range, record, records, text } from './contract-log.ts'
import { RecordReader } from './readers.ts'

export const listenTests: readonly ContractTest[] = [
  {
    name: 'from latest: everything published after listen resolved is heard, and nothing from before',
    async run(log) {
      const topic = log.topic(2)
      const broker = await log.open([topic])
      await broker.publish(records(topic, 5, 1, 'before'))
      for (const round of range(0, 10)) {
        const listener = await broker.listen({ topic: topic.name, partition: 1, from: 'latest' })
        const sent = await broker.publish(records(topic, 3, 1, `round-${round}`))
        assert.equal(listener.from, sent[0]!.offset)
        const read = await new RecordReader(listener).take(3)
        assert.deepEqual(
          read.map((one) => text(one.value)),
          range(0, 3).map((index) => `round-${round}-${index}`),
        )
        await listener.close()
      }
    },
  },
  {
    name: 'from latest of an empty partition hears its first record',
    async run(log) {
      const topic = log.topic()
      const broker = await log.open([topic])
      const listener = await broker.listen({ topic: topic.name, partition: 0, from: 'latest' })
      await broker.publish([record(topic, 'first')])
      const [read] = await new RecordReader(listener).take(1)
      assert.equal(text(read!.value), 'first')
      assert.equal(read!.offset, listener.from)
    },
  },
  {
    name: 'from earliest and from an offset: everything from there on, in order, then what comes',
    async run(log) {
      const topic = log.topic()
      const broker = await log.open([topic])
      const sent = await broker.publish(records(topic, 500))
      for (const first of [0, 1, 250, 499]) {
        const from = first === 0 ? 'earliest' : sent[first]!.offset
        const listener = await broker.listen({ topic: topic.name, partition: 0, from })
        assert.equal(listener.from, sent[first]!.offset)
        const reader = new RecordReader(listener)
        const read = await reader.take(500 - first)
        assert.deepEqual(
          read.map((one) => one.offset),
          sent.slice(first).map((one) => one.offset),
        )
        const [[live]] = await Promise.all([reader.take(1), broker.publish([record(topic, 'live')])])
        if (first !== 0) assert.ok(live!.offset > sent.at(-1)!.offset)
        else assert.equal(text(live!.value), 'live')
        await listener.close()
      }
    },
  },
  {
    name: 'two listeners of one partition each hear every record once',
    async run(log) {
      const topic = log.topic()
      const broker = await log.open([topic])
      const beside = await log.openBeside(broker, [topic])
      const listeners = [
        await broker.listen({ topic: topic.name, partition: 0, from: 'latest' }),
        await beside.listen({ topic: topic.name, partition: 0, from: 'latest' }),
        await broker.listen({ topic: topic.name, partition: 0, from: 'earliest' }),
      ]
      const heard = Promise.all(listeners.map((listener) => new RecordReader(listener).take(200)))
      await Promise.all(range(0, 200).map((index) => broker.publish([record(topic, `${index}`)])))
      for (const read of await heard) {
        assert.deepEqual(
          read.map((one) => Number(text(one.value))),
          range(0, 200),
        )
      }
    },
  },
  {
    name: 'a listener that is slow loses nothing',
    async run(log) {
      const topic = log.topic()
      const broker = await log.open([topic])
      const listener = await broker.listen({ topic: topic.name, partition: 0, from: 'latest' })
      const reader = new RecordReader(listener)
      const value = new Uint8Array(20_000)
      for (const _ of range(0, 20)) await broker.publish(range(0, 50).map(() => record(topic, '', { value })))
      const read = await reader.take(1000)
      assert.deepEqual(
        read.map((one) => one.offset - listener.from),
        range(0, 1000),
      )
    },
  },
  {
    name: 'a closed listener ends its iteration, also one that waits',
    async run(log) {
      const topic = log.topic()
      const broker = await log.open([topic])
      const listener = await broker.listen({ topic: topic.name, partition: 0, from: 'latest' })
      const ended = new RecordReader(listener).ended()
      await listener.close()
      await ended
      await listener.close()
    },
  },
]
