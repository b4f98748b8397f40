import assert from 'node:assert/strict'
import { test } from 'node:test'
import { murmur2, partitionOf } from '../src/partition-of.ts'

/** From the unit tests of Kafka's Java client. */
const JAVA_VECTORS: Readonly<Record<string, number>> = {
  '21': -973932308,
  foobar: -790332482,
  'a-little-bit-long-string': -985981536,
  'a-little-bit-longer-string': -1486304829,
  lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8: -58897971,
  abc: 479470107,
}

test('murmur2 agrees with the Java client', () => {
  for (const [key, hash] of Object.entries(JAVA_VECTORS)) assert.equal(murmur2(Buffer.from(key)), hash, key)
})

test('the partition is the hash without its sign, modulo the partitions', () => {
  for (const [key, hash] of Object.entries(JAVA_VECTORS)) {
    for (const partitions of [1, 3, 12, 100]) {
      assert.equal(partitionOf(Buffer.from(key), partitions), (hash & 0x7fffffff) % partitions, key)
    }
  }
})
