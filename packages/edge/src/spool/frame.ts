import { crc32 } from 'node:zlib'
import type { LogRecord, RecordToPublish } from '@forebay/broker'
import { packedBytesMax, packRecord, unpackChunk } from '@forebay/broker/embedded'

/*
 * A frame holds records of one topic that were appended together: all of them are there after a crash or none.
 *   length of what follows the checksum u32 | CRC-32 of it u32 | topic length u16 | topic | records as the embedded log packs them
 */

export function packFrame(topic: string, records: readonly RecordToPublish[], wallMs: number): Buffer {
  let bytes = HEAD_BYTES + 2 + Buffer.byteLength(topic)
  for (const record of records) bytes += packedBytesMax(record)
  const frame = Buffer.allocUnsafe(bytes)
  const topicBytes = frame.write(topic, HEAD_BYTES + 2)
  frame.writeUInt16LE(topicBytes, HEAD_BYTES)
  let at = HEAD_BYTES + 2 + topicBytes
  for (const { key, value, headers } of records) {
    at = packRecord(frame, at, { topic, partition: 0, offset: 0, timestampMs: wallMs, key, value, headers })
  }
  const payload = frame.subarray(HEAD_BYTES, at)
  frame.writeUInt32LE(payload.length, 0)
  frame.writeUInt32LE(crc32(payload), 4)
  return frame.subarray(0, at)
}

/** Where the frame at `at` ends; null when there is no whole and sound one. */
export function frameEnd(bytes: Buffer, at: number): number | null {
  if (at + HEAD_BYTES > bytes.length) return null
  const length = bytes.readUInt32LE(at)
  const end = at + HEAD_BYTES + length
  if (length < 2 || end > bytes.length) return null
  return crc32(bytes.subarray(at + HEAD_BYTES, end)) === bytes.readUInt32LE(at + 4) ? end : null
}

/** The records of a sound frame; they share the memory of `bytes`. */
export function unpackFrame(bytes: Buffer, at: number, end: number): RecordToPublish[] {
  const topicEnd = at + HEAD_BYTES + 2 + bytes.readUInt16LE(at + HEAD_BYTES)
  const topic = bytes.toString('utf8', at + HEAD_BYTES + 2, topicEnd)
  const records: LogRecord[] = []
  unpackChunk(bytes.subarray(topicEnd, end), { topic, partition: 0, base: 0 }, 0, records)
  return records.map(({ key, value, headers }) => ({ topic, key, value: value!, headers }))
}

const HEAD_BYTES = 8
