import { create } from '@bufbuild/protobuf'
import { Edge, type NewRecord, type Place, PlaceSchema, type Record } from '@forebay/protocol/log'
import type { FromTime, LogRecord, RecordHeader, RecordToPublish } from '../broker.ts'
import { timeMsOf } from '../from-time.ts'

/** At least as many bytes as the record takes in a message. */
export function bytesOf({ topic, key, value, headers }: RecordToPublish): number {
  let bytes = RECORD_FIXED_BYTES + topic.length * 3 + (key?.length ?? 0) + value.length
  for (const [name, content] of headers) bytes += HEADER_FIXED_BYTES + name.length * 3 + content.length
  return bytes
}

/** What counts against the largest record. */
export function payloadBytesOf({ key, value, headers }: RecordToPublish): number {
  let bytes = (key?.length ?? 0) + value.length
  for (const [name, content] of headers) bytes += Buffer.byteLength(name) + content.length
  return bytes
}

export function newRecordOf({ topic, partition, key, value, headers }: RecordToPublish): Shape<NewRecord> {
  return {
    topic,
    value,
    headers: headers.map(([name, content]) => ({ name, value: content })),
    ...(partition === undefined ? {} : { partition }),
    ...(key === null ? {} : { key }),
  }
}

export function recordOf(record: Record, topic: string, partition: number): LogRecord {
  const { key = null, value = null } = record
  return {
    topic,
    partition,
    offset: Number(record.offset),
    timestampMs: Number(record.timestampMs),
    key,
    value,
    headers: record.headers.map((one): RecordHeader => [one.name, one.value]),
  }
}

export function placeOf(from: 'earliest' | 'latest' | number | FromTime): Place {
  if (typeof from === 'number') return create(PlaceSchema, { at: { case: 'offset', value: BigInt(from) } })
  if (typeof from === 'object') {
    return create(PlaceSchema, { at: { case: 'timeMs', value: BigInt(timeMsOf(from)) } })
  }
  const value = from === 'earliest' ? Edge.EARLIEST : Edge.LATEST
  return create(PlaceSchema, { at: { case: 'edge', value } })
}

type Shape<Message> = Omit<Message, '$typeName' | '$unknown' | 'headers'> & {
  headers: { name: string; value: Uint8Array }[]
}

const RECORD_FIXED_BYTES = 64
const HEADER_FIXED_BYTES = 16
