import assert from 'node:assert/strict'
import type { Delivery } from '../broker.ts'
import type { ContractTest } from './contract.ts'
import { consume, range, record, records } from './contract-log.ts'
import { offsetsOf } from './readers.ts'

export const windowTests: readonly ContractTest[] = [
  {
    name: 'no more than windowRecords of a partition are unsettled, while other partitions go on',
    async run(log) {
      const topic = log.topic(2)
      const broker = await log.open([topic])
      const { reader } = await consume(broker, { topics: [topic.name], group: log.group(), windowRecords: 10 })
      await broker.publish([...records(topic, 100, 0), ...records(topic, 100, 1)])
      const held: Delivery[] = []
      let others = 0
      await reader.see((delivery) => {
        if (delivery.record.partition === 0) {
          held.push(delivery)
        } else {
          delivery.settle()
          others++
        }
        return others === 100 && held.length >= 10
      })
      assert.equal(held.length, 10, 'the held partition stops at its window')

      held[4]!.settle()
      held[7]!.settle()
      assert.deepEqual(offsetsOf(await reader.take(2)), [10, 11], 'each one settled makes room for one')
      for (const index of [0, 1, 2, 3, 5, 6, 8, 9]) held[index]!.settle()
      assert.deepEqual(offsetsOf(await reader.take(8)), range(12, 20))
    },
  },
  {
    name: 'no more than windowBytes of a partition are unsettled, and one record larger than that comes alone',
    async run(log) {
      const topic = log.topic(2)
      const broker = await log.open([topic])
      const { reader } = await consume(broker, { topics: [topic.name], group: log.group(), windowBytes: 10_000 })
      const value = new Uint8Array(4000)
      await broker.publish([
        ...range(0, 3).map(() => record(topic, '', { value })),
        record(topic, '', { value: new Uint8Array(30_000) }),
        record(topic, '', { value }),
      ])
      const first = await reader.take(2)
      assert.deepEqual(offsetsOf(first), [0, 1])
      const [marker] = await Promise.all([reader.take(1), broker.publish([record(topic, 'marker', { partition: 1 })])])
      assert.equal(marker[0]!.record.partition, 1, 'the third does not fit, the other partition goes on')

      first[0]!.settle()
      const [third] = await reader.take(1)
      assert.equal(third!.record.offset, 2)
      first[1]!.settle()
      const second = await Promise.all([reader.take(1), broker.publish([record(topic, 'marker', { partition: 1 })])])
      assert.equal(second[0][0]!.record.partition, 1, 'the large one waits until it is alone')
      third!.settle()
      const [large] = await reader.take(1)
      assert.equal(large!.record.offset, 3)
      large!.settle()
      assert.equal((await reader.take(1))[0]!.record.offset, 4)
    },
  },
]
