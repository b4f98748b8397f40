import assert from 'node:assert/strict'
import type { AssignedPartition, Delivery } from '../broker.ts'
import type { ContractTest } from './contract.ts'
import { type ConsumedBy, consume, eventually, range, records } from './contract-log.ts'

export const groupTests: readonly ContractTest[] = [
  {
    name: 'each assignment is told once, also of an empty partition, and ends by aborting its `lost`',
    async run(log) {
      const topic = log.topic(3)
      const group = log.group()
      const broker = await log.open([topic])
      const told: AssignedPartition[] = []
      const onAssigned = (assigned: AssignedPartition) => told.push(assigned)
      const first = await consume(broker, { topics: [topic.name], group, onAssigned })
      await eventually('all three are told', async () => told.length === 3)
      assert.deepEqual(told.map((one) => `${one.topic} ${one.partition}`).sort(), [
        `${topic.name} 0`,
        `${topic.name} 1`,
        `${topic.name} 2`,
      ])
      await broker.publish(records(topic, 1, 1))
      const [delivery] = await first.reader.take(1)
      assert.equal(delivery!.lost, told.find((one) => one.partition === 1)!.lost)
      await first.subscription.close()
      assert.ok(told.every((one) => one.lost.aborted))
    },
  },
  {
    name: 'members of one group share the partitions, and each record goes to one of them',
    async run(log) {
      const topic = log.topic(4)
      const group = log.group()
      const broker = await log.open([topic])
      const beside = await log.openBeside(broker, [topic])
      const members = [
        await consume(broker, { topics: [topic.name], group }),
        await consume(beside, { topics: [topic.name], group }),
      ]
      const owners = await settledUntilAllOwn(members, async (round) => {
        await broker.publish(range(0, 4).flatMap((partition) => records(topic, 1, partition, `round-${round}`)))
      })
      assert.deepEqual([...owners.keys()].sort(), [0, 1, 2, 3])
    },
  },
  {
    name: 'a lost assignment aborts `lost`, ignores later settling, and hands what is unsettled to the next owner',
    async run(log) {
      const topic = log.topic(4)
      const group = log.group()
      const broker = await log.open([topic])
      await broker.publish(range(0, 4).flatMap((partition) => records(topic, 10, partition)))
      const first = await consume(broker, { topics: [topic.name], group })
      const held = await first.reader.take(40)
      for (const delivery of held) if (delivery.record.offset < 3) delivery.settle()
      await eventually('three of each partition are committed', async () => {
        const states = await broker.inspect({ topics: [topic.name], group })
        return states.every((state) => state.committed === 3)
      })

      const beside = await log.openBeside(broker, [topic])
      const second = await consume(beside, { topics: [topic.name], group })
      const moved: Delivery[] = []
      await second.reader.see((delivery) => moved.push(delivery) === 7)
      const partitions = [...new Set(moved.map((one) => one.record.partition))]
      const stale = held.filter((one) => partitions.includes(one.record.partition))
      for (const delivery of stale) {
        assert.ok(delivery.lost.aborted, `partition ${delivery.record.partition} has a new owner`)
        delivery.settle()
      }
      for (const partition of partitions) {
        const offsets = moved.filter((one) => one.record.partition === partition).map((one) => one.record.offset)
        assert.deepEqual(offsets, range(3, 3 + offsets.length), 'the settled three do not come again')
        assert.ok(moved.every((one) => !one.lost.aborted))
      }
      await first.subscription.close()
      await second.subscription.close()

      const third = await consume(broker, { topics: [topic.name], group })
      const again: Delivery[] = []
      await third.reader.see((delivery) => {
        if (partitions.includes(delivery.record.partition)) again.push(delivery)
        return again.length === 7 * partitions.length
      })
      for (const partition of partitions) {
        const offsets = again.filter((one) => one.record.partition === partition).map((one) => one.record.offset)
        assert.deepEqual(offsets, range(3, 10), 'settling after the loss did nothing')
      }
    },
  },
  {
    name: 'when a member leaves, the others take over its partitions and what it left unsettled',
    async run(log) {
      const topic = log.topic(4)
      const group = log.group()
      const broker = await log.open([topic])
      const beside = await log.openBeside(broker, [topic])
      const members = [
        await consume(broker, { topics: [topic.name], group }),
        await consume(beside, { topics: [topic.name], group }),
      ]
      const owners = await settledUntilAllOwn(members, async (round) => {
        await broker.publish(range(0, 4).flatMap((partition) => records(topic, 1, partition, `round-${round}`)))
      })
      const leaving = members[1]!
      const left = [...owners].filter(([, member]) => member === leaving).map(([partition]) => partition)
      const sent = await broker.publish(left.flatMap((partition) => records(topic, 5, partition, 'left')))
      const wanted = new Set(sent.map((one) => `${one.partition}/${one.offset}`))
      await leaving.subscription.close()

      await members[0]!.reader.see((delivery) => {
        wanted.delete(`${delivery.record.partition}/${delivery.record.offset}`)
        delivery.settle()
        return wanted.size === 0
      })
    },
  },
]

/**
 * Publishes round after round to all four partitions, settling what comes, until each member owns two of them. Returns
 * the last owner of each partition.
 */
async function settledUntilAllOwn(
  members: readonly ConsumedBy[],
  publishRound: (round: number) => Promise<void>,
): Promise<Map<number, ConsumedBy>> {
  for (let round = 0; round < 300; round++) {
    await publishRound(round)
    const owners = new Map<number, ConsumedBy>()
    for (const member of members) {
      for (const delivery of await member.reader.takeWithin(100)) {
        owners.set(delivery.record.partition, member)
        delivery.settle()
      }
    }
    const counts = members.map((member) => [...owners.values()].filter((owner) => owner === member).length)
    if (counts.every((count) => count === 4 / members.length)) return owners
  }
  return assert.fail('the members never shared the partitions evenly')
}
