import assert from 'node:assert/strict'
import { PublishError, type RecordHeader } from '../broker.ts'
import { partitionOf } from '../partition-of.ts'
import type { ContractTest } from './contract.ts'
import { bytes, range, record, records, text } from './contract-log.ts'
import { RecordReader } from './readers.ts'

export const publishTests: readonly ContractTest[] = [
  {
    name: 'what publish resolved for is read back after a reopen, byte for byte',
    async run(log) {
      const topic = log.topic()
      const everyByte = Uint8Array.from({ length: 256 }, (_, index) => index)
      const headers: RecordHeader[] = [
        ['trace', bytes('first')],
        ['trace', bytes('second')],
        ['Größe-名', everyByte],
        ['empty', new Uint8Array(0)],
        ['trace', bytes('third')],
      ]
      const sent = [
        record(topic, 'plain'),
        record(topic, '', { key: new Uint8Array(0) }),
        record(topic, 'with everything', { key: everyByte, value: everyByte, headers }),
        record(topic, 'large', { value: new Uint8Array(300_000).map((_, index) => index * 31) }),
      ]
      const first = await log.open([topic])
      const before = Date.now()
      await first.publish(sent)
      const after = Date.now()
      await first.close()

      const second = await log.open([topic])
      const listener = await second.listen({ topic: topic.name, partition: 0, from: 'earliest' })
      const read = await new RecordReader(listener).take(sent.length)
      for (const [index, one] of read.entries()) {
        assert.equal(one.topic, topic.name)
        assert.equal(one.partition, 0)
        assert.equal(hex(one.key), hex(sent[index]!.key), `key of record ${index}`)
        assert.equal(hex(one.value), hex(sent[index]!.value), `value of record ${index}`)
        assert.deepEqual(one.headers.map(flat), sent[index]!.headers.map(flat), `headers of record ${index}`)
        assert.ok(one.timestampMs >= before - 1000 && one.timestampMs <= after + 1000, `timestamp ${one.timestampMs}`)
      }
    },
  },
  {
    name: 'publish returns the position of each record, in the order given, across topics and partitions',
    async run(log) {
      const [one, two] = [log.topic(2), log.topic(1)]
      const broker = await log.open([one, two])
      const sent = [
        record(one, 'a', { partition: 1 }),
        record(two, 'b'),
        record(one, 'c', { partition: 0 }),
        record(one, 'd', { partition: 1 }),
      ]
      const positions = await broker.publish(sent)
      assert.deepEqual(
        positions.map(({ topic, partition }) => [topic, partition]),
        sent.map(({ topic, partition }) => [topic, partition]),
      )
      assert.ok(positions[3]!.offset > positions[0]!.offset)
      for (const [index, position] of positions.entries()) {
        const listener = await broker.listen({
          topic: position.topic,
          partition: position.partition,
          from: position.offset,
        })
        assert.equal(listener.from, position.offset)
        const [read] = await new RecordReader(listener).take(1)
        assert.equal(read!.offset, position.offset)
        assert.equal(text(read!.value), text(sent[index]!.value))
        await listener.close()
      }
    },
  },
  {
    name: 'publishing nothing resolves with nothing',
    async run(log) {
      const broker = await log.open([log.topic()])
      assert.deepEqual(await broker.publish([]), [])
    },
  },
  {
    name: 'concurrent calls keep their order within a partition',
    async run(log) {
      const topic = log.topic(3)
      const broker = await log.open([topic])
      const calls = range(0, 600).map((index) => broker.publish([record(topic, `${index}`, { partition: index % 3 })]))
      const positions = (await Promise.all(calls)).flat()
      for (const partition of range(0, 3)) {
        const listener = await broker.listen({ topic: topic.name, partition, from: 'earliest' })
        const read = await new RecordReader(listener).take(200)
        assert.deepEqual(
          read.map((one) => Number(text(one.value))),
          range(0, 200).map((index) => index * 3 + partition),
        )
        assert.deepEqual(
          read.map((one) => one.offset),
          positions.filter((one) => one.partition === partition).map((one) => one.offset),
        )
      }
    },
  },
  {
    name: 'a key chooses the partition that the Java client would choose, and records without a key spread over all',
    async run(log) {
      const topic = log.topic(12)
      const broker = await log.open([topic])
      const keys = range(0, 60).map((index) => bytes(`customer-${index}`))
      const keyed = await broker.publish(
        keys.map((key) => ({ topic: topic.name, key, value: bytes('keyed'), headers: [] })),
      )
      assert.deepEqual(
        keyed.map((one) => one.partition),
        keys.map((key) => partitionOf(key, 12)),
      )
      const calls = range(0, 600).map(() =>
        broker.publish([{ topic: topic.name, key: null, value: bytes('keyless'), headers: [] }]),
      )
      const spread = (await Promise.all(calls)).flat()
      for (const partition of range(0, 12)) {
        const share = spread.filter((one) => one.partition === partition).length
        assert.ok(share >= 10 && share <= 200, `partition ${partition} got ${share} of 600`)
      }
    },
  },
  {
    name: 'a record that is too large is refused by name, and the others of the call are durable or named too',
    async run(log) {
      const topic = log.topic()
      const broker = await log.open([topic])
      const large = record(topic, '', { value: new Uint8Array(broker.capabilities.recordBytesMax + 1) })
      const sent = [record(topic, 'before'), large, record(topic, 'after')]
      const error = await broker.publish(sent).then(
        () => assert.fail('it was taken'),
        (thrown: unknown) => thrown,
      )
      assert.ok(error instanceof PublishError, String(error))
      const named = new Map(error.failed.map((one) => [one.index, one.outcome]))
      assert.equal(named.get(1), 'refused')
      await broker.publish([record(topic, 'last')])
      const listener = await broker.listen({ topic: topic.name, partition: 0, from: 'earliest' })
      const read = await new RecordReader(listener).takeUntil((one) => text(one.value) === 'last')
      const values = read.map((one) => text(one.value))
      for (const index of [0, 2]) {
        const outcome = named.get(index) ?? 'durable'
        const there = values.includes(text(sent[index]!.value))
        if (outcome === 'durable') assert.ok(there, `record ${index} was not named, so it is durable`)
        if (outcome === 'refused') assert.ok(!there, `record ${index} was refused, so it is not there`)
      }
      assert.ok(read.every((one) => one.value!.length < 100))
    },
  },
  {
    name: 'a record as large as the limit is taken',
    async run(log) {
      const topic = log.topic()
      const broker = await log.open([topic])
      const value = new Uint8Array(broker.capabilities.recordBytesMax).fill(7)
      await broker.publish([record(topic, '', { value })])
      const listener = await broker.listen({ topic: topic.name, partition: 0, from: 'earliest' })
      const [read] = await new RecordReader(listener).take(1)
      assert.ok(Buffer.from(value).equals(read!.value!))
    },
  },
  {
    name: 'a tombstone and bytes that are no text come through from another producer',
    async run(log) {
      const { writeForeign } = log.harness
      if (writeForeign === undefined) return log.skip('nothing but the port can write to this log')
      const topic = log.topic()
      const broker = await log.open([topic])
      const odd = Uint8Array.of(0xff, 0xfe, 0x00, 0x80)
      const foreign = { topic: topic.name, partition: 0, key: odd, headers: [['odd', odd] as const] }
      await writeForeign.call(log.harness, { ...foreign, value: null })
      await writeForeign.call(log.harness, { ...foreign, value: odd })
      const listener = await broker.listen({ topic: topic.name, partition: 0, from: 'earliest' })
      const [tombstone, plain] = await new RecordReader(listener).take(2)
      assert.equal(tombstone!.value, null)
      assert.equal(hex(tombstone!.key), hex(odd))
      assert.equal(hex(plain!.value), hex(odd))
      assert.deepEqual(plain!.headers.map(flat), [['odd', hex(odd)]])
    },
  },
  {
    name: 'while the log is down publish rejects within its timeout and names the records; afterwards it works again',
    async run(log) {
      const { outage } = log.harness
      if (outage === undefined) return log.skip('this log lives and dies with the process')
      const topic = log.topic()
      const broker = await log.open([topic], { publishTimeoutMs: 3000 })
      await broker.publish([record(topic, 'before')])
      await outage.stopLog()
      try {
        const start = performance.now()
        const error = await broker.publish(records(topic, 3, 0, 'during')).then(
          () => assert.fail('it was taken by a log that is down'),
          (thrown: unknown) => thrown,
        )
        const tookMs = performance.now() - start
        assert.ok(error instanceof PublishError, String(error))
        assert.deepEqual(error.failed.map((one) => one.index).sort(), [0, 1, 2])
        assert.ok(tookMs < 3000 + 2000, `rejected after ${Math.round(tookMs)} ms`)
      } finally {
        await outage.startLog()
      }
      for (;;) {
        const done = await broker.publish([record(topic, 'after')]).then(
          () => true,
          (thrown: unknown) => !(thrown instanceof PublishError),
        )
        if (done) break
      }
      const listener = await broker.listen({ topic: topic.name, partition: 0, from: 'earliest' })
      const read = await new RecordReader(listener).takeUntil((one) => text(one.value) === 'after')
      assert.equal(text(read[0]!.value), 'before')
    },
  },
]

function hex(value: Uint8Array | null): string | null {
  return value === null ? null : Buffer.from(value).toString('hex')
}

function flat([name, value]: RecordHeader): [string, string | null] {
  return [name, hex(value)]
}
