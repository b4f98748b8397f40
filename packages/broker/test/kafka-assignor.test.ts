import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { assign, type GroupMember } from '../src/kafka/assignor.ts'
import type { TopicPartition } from '../src/kafka/offsets.ts'

const partitionCounts = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd'), fc.integer({ min: 1, max: 12 }), {
  minKeys: 1,
})

/** Who comes and goes, round after round. */
const rosters = fc.array(fc.uniqueArray(fc.constantFrom('m1', 'm2', 'm3', 'm4', 'm5'), { minLength: 1 }), {
  minLength: 1,
  maxLength: 6,
})

test('no partition has two owners at any time, and once a roster stays, all are shared out evenly', () => {
  fc.assert(
    fc.property(partitionCounts, rosters, (counts, rounds) => {
      const topics = Object.keys(counts)
      const all = topics.flatMap((topic) =>
        Array.from({ length: counts[topic]! }, (_, partition) => key({ topic, partition })),
      )
      let held = new Map<string, TopicPartition[]>()
      for (const roster of rounds) {
        held = new Map(roster.map((memberId) => [memberId, held.get(memberId) ?? []]))
        for (let settled = false; !settled; ) {
          const members: GroupMember[] = roster.map((memberId) => ({ memberId, topics, owned: held.get(memberId)! }))
          const shares = assign(members, (topic) => counts[topic]!)
          const owners = new Map([...held].flatMap(([member, own]) => own.map((one) => [key(one), member])))
          for (const [memberId, share] of shares) {
            for (const one of share) assert.equal(owners.get(key(one)) ?? memberId, memberId, 'its owner has let go')
          }
          const letGo = roster.some((memberId) =>
            held.get(memberId)!.some((one) => !shares.get(memberId)!.some((other) => key(other) === key(one))),
          )
          held = shares
          settled = !letGo
        }
        assert.deepEqual([...held.values()].flat().map(key).sort(), all.sort())
        const totals = roster.map((memberId) => held.get(memberId)!.length)
        assert.ok(Math.max(...totals) - Math.min(...totals) <= 1, `totals ${totals}`)
        for (const topic of topics) {
          const each = roster.map((memberId) => held.get(memberId)!.filter((one) => one.topic === topic).length)
          assert.ok(Math.max(...each) - Math.min(...each) <= 1, `${topic}: ${each}`)
        }
      }
    }),
    { numRuns: 300 },
  )
})

function key({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}
