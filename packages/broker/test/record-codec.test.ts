import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { LogRecord, RecordHeader } from '../src/broker.ts'
import { packedBytesMax, packRecord, unpackChunk } from '../src/embedded/record-codec.ts'

const PLACE = { topic: 'tasks', partition: 3, base: 1_000_000_000_000 }

const bytes = fc.uint8Array({ maxLength: 40 }).map((one) => Buffer.from(one))
const header: fc.Arbitrary<RecordHeader> = fc.tuple(fc.string({ unit: 'grapheme' }), bytes)
const content = fc.record({
  timestampMs: fc.integer({ min: 0, max: 2 ** 50 }),
  key: fc.option(bytes),
  value: fc.option(bytes),
  headers: fc.array(header, { maxLength: 5 }),
})

test('a chunk gives back the records it was made of, from the asked offset on', () => {
  fc.assert(
    fc.property(fc.array(content, { maxLength: 8 }), fc.nat(9), (contents, skipped) => {
      const records: LogRecord[] = contents.map((one, index) => ({
        ...one,
        topic: PLACE.topic,
        partition: PLACE.partition,
        offset: PLACE.base + index,
      }))
      const chunk = Buffer.alloc(records.reduce((sum, one) => sum + packedBytesMax(one), 0))
      const end = records.reduce((at, one) => packRecord(chunk, at, one), 0)
      const read: LogRecord[] = []
      unpackChunk(chunk.subarray(0, end), PLACE, PLACE.base + skipped, read)
      assert.deepEqual(read, records.slice(skipped))
    }),
    { numRuns: 1000 },
  )
})
