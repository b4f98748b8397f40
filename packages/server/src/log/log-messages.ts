import { create } from '@bufbuild/protobuf'
import type { FromTime, LogRecord, RecordToPublish } from '@forebay/broker'
import { Edge, type NewRecord, type Place, type Record, RecordSchema } from '@forebay/protocol/log'
import { badField } from '../accept/grpc-fields.ts'

export function toPublish({ topic, partition, key, value, headers }: NewRecord): RecordToPublish {
  return {
    topic,
    key: key ?? null,
    value,
    headers: headers.map((one) => [one.name, one.value] as const),
    ...(partition === undefined ? {} : { partition }),
  }
}

export function messageOf({ offset, timestampMs, key, value, headers }: LogRecord): Record {
  return create(RecordSchema, {
    offset: BigInt(offset),
    timestampMs: BigInt(Math.trunc(timestampMs)),
    headers: headers.map(([name, content]) => ({ name, value: content })),
    ...(key === null ? {} : { key }),
    ...(value === null ? {} : { value }),
  })
}

export function readPlace(place: Place | undefined): 'earliest' | 'latest' | number | FromTime {
  const at = place?.at
  if (at?.case === undefined) return 'earliest'
  if (at.case === 'edge') return at.value === Edge.LATEST ? 'latest' : 'earliest'
  const value = safeNumber(at.value, at.case === 'offset' ? 'from.offset' : 'from.time_ms')
  return at.case === 'offset' ? value : { timeMs: value }
}

export function safeNumber(value: bigint, field: string): number {
  const number = Number(value)
  if (Number.isSafeInteger(number) && number >= 0) return number
  throw badField(field, `${field} is ${value}; it must be 0 to 2^53 - 1.`)
}

/** What a record takes of a stream's credits: about what it takes on the wire and in memory. */
export function costOf({ key, value, headers }: LogRecord): number {
  let bytes = RECORD_COST + (key?.length ?? 0) + (value?.length ?? 0)
  for (const [name, content] of headers) bytes += HEADER_COST + name.length + content.length
  return bytes
}

const RECORD_COST = 64
const HEADER_COST = 16
