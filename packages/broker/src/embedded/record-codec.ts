import type { LogRecord, RecordHeader } from '../broker.ts'

/*
 * A chunk is a run of records of one partition, as one value of the database. Each record, little-endian:
 *   timestamp f64 | key length u32 | value length u32 | headers u32 | headers | key | value
 * and each header: name length u32 | value length u32 | name in UTF-8 | value. A length of ABSENT stands for null.
 * Offsets are not written: records of a chunk are consecutive and the row says where it begins.
 */

/** At least as many bytes as `packRecord` will write. */
export function packedBytesMax(record: Pick<LogRecord, 'key' | 'value' | 'headers'>): number {
  let bytes = RECORD_FIXED_BYTES + (record.key?.length ?? 0) + (record.value?.length ?? 0)
  for (const [name, value] of record.headers) bytes += HEADER_FIXED_BYTES + name.length * 3 + value.length
  return bytes
}

/** Writes the record at `at`; returns where it ends. */
export function packRecord(into: Buffer, at: number, record: LogRecord): number {
  const { key, value, headers } = record
  into.writeDoubleLE(record.timestampMs, at)
  into.writeUInt32LE(key === null ? ABSENT : key.length, at + 8)
  into.writeUInt32LE(value === null ? ABSENT : value.length, at + 12)
  into.writeUInt32LE(headers.length, at + 16)
  let next = at + RECORD_FIXED_BYTES
  for (const [name, content] of headers) {
    const nameBytes = into.write(name, next + HEADER_FIXED_BYTES)
    into.writeUInt32LE(nameBytes, next)
    into.writeUInt32LE(content.length, next + 4)
    next += HEADER_FIXED_BYTES + nameBytes
    into.set(content, next)
    next += content.length
  }
  if (key !== null) {
    into.set(key, next)
    next += key.length
  }
  if (value !== null) {
    into.set(value, next)
    next += value.length
  }
  return next
}

/** Adds the chunk's records to `into`, without those before `from`. They share the memory of `chunk`. */
export function unpackChunk(chunk: Buffer, place: ChunkPlace, from: number, into: LogRecord[]): void {
  let at = 0
  for (let offset = place.base; at < chunk.length; offset++) {
    const timestampMs = chunk.readDoubleLE(at)
    const keyLength = chunk.readUInt32LE(at + 8)
    const valueLength = chunk.readUInt32LE(at + 12)
    const headerCount = chunk.readUInt32LE(at + 16)
    at += RECORD_FIXED_BYTES
    const headers: RecordHeader[] = []
    for (let index = 0; index < headerCount; index++) {
      const nameEnd = at + HEADER_FIXED_BYTES + chunk.readUInt32LE(at)
      const end = nameEnd + chunk.readUInt32LE(at + 4)
      headers.push([chunk.toString('utf8', at + HEADER_FIXED_BYTES, nameEnd), chunk.subarray(nameEnd, end)])
      at = end
    }
    const key = keyLength === ABSENT ? null : chunk.subarray(at, at + keyLength)
    at += key?.length ?? 0
    const value = valueLength === ABSENT ? null : chunk.subarray(at, at + valueLength)
    at += value?.length ?? 0
    if (offset < from) continue
    into.push({ topic: place.topic, partition: place.partition, offset, timestampMs, key, value, headers })
  }
}

/** Of the chunk that begins at offset `base`: its first record at or after the time. */
export function firstOffsetAt(chunk: Buffer, base: number, timeMs: number): number {
  const records: LogRecord[] = []
  unpackChunk(chunk, { topic: '', partition: 0, base }, base, records)
  return records.find((one) => one.timestampMs >= timeMs)?.offset ?? base
}

export interface ChunkPlace {
  readonly topic: string
  readonly partition: number
  /** Offset of the chunk's first record. */
  readonly base: number
}

const RECORD_FIXED_BYTES = 20
const HEADER_FIXED_BYTES = 8
const ABSENT = 0xffff_ffff
