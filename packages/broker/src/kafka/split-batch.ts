import type { Library } from './library.ts'
import { type PendingBatch, pendingBatch } from './publish-queue.ts'
import { RecordBatch, recordBytes } from './record-batch.ts'
import { readRecords } from './record-reader.ts'

const EMPTY = new Uint8Array()
const ANYWHERE = { topic: '', partition: 0, offset: 0 }

/** Two halves of a batch that a topic with a smaller limit did not take whole. */
export function splitBatch(library: Library, batch: PendingBatch): PendingBatch[] {
  const sealed = batch.content.seal({ producerId: -1n, epoch: -1, sequence: -1 }, library.crc32c)
  const { records } = readRecords(library, ANYWHERE, sealed, [])
  const middle = Math.ceil(records.length / 2)
  return [
    [0, middle],
    [middle, records.length],
  ].map(([from, to]) => {
    const half = pendingBatch(new RecordBatch(records[from!]!.timestampMs), batch.bornMs)
    for (let at = from!; at < to!; at++) {
      const { key, value, headers, timestampMs } = records[at]!
      half.content.append(key, value, headers, timestampMs)
      half.payloadBytes += recordBytes(key, value ?? EMPTY, headers)
      half.calls.push(batch.calls[at]!)
      half.indexes.push(batch.indexes[at]!)
    }
    return half
  })
}
