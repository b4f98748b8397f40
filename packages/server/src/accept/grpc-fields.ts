import { type DescMessage, fromBinary, type MessageShape } from '@bufbuild/protobuf'
import type { Duration, Timestamp } from '@bufbuild/protobuf/wkt'
import { ForebayError } from '@forebay/protocol'
import type { Metadata, MetadataValue } from '@grpc/grpc-js'
import { PRIORITY_DEFAULT, PRIORITY_MAX } from '../task.ts'
import type { TimingNames } from './timing.ts'

/** Reading what a gRPC caller sent; each function throws the refusal. */

/** A request that is no message of its type is the caller's fault; grpc-js by itself would call it ours. */
export function readMessage<Desc extends DescMessage>(schema: Desc, bytes: Uint8Array): MessageShape<Desc> {
  try {
    return fromBinary(schema, bytes, IGNORING_UNKNOWN)
  } catch (cause) {
    throw new ForebayError('BAD_REQUEST', `The request is not a ${schema.typeName} message.`, { cause })
  }
}

/** Fields that we do not know are a newer caller's, and nothing to keep in memory. */
const IGNORING_UNKNOWN = { readUnknownFields: false }

/** A value of the metadata that may come once. */
export function onlyText(metadata: Metadata, name: string): string | undefined {
  const values: readonly MetadataValue[] = metadata.get(name)
  if (values.length === 0) return undefined
  const [value] = values
  if (values.length > 1 || typeof value !== 'string') {
    throw new ForebayError('BAD_HEADER', `The metadata ${name} came twice.`, { members: { header: name } })
  }
  return value
}

export function badField(field: string, message: string): ForebayError {
  return new ForebayError('BAD_REQUEST', message, { members: { field } })
}

export const TIMING_FIELDS: TimingNames = {
  delay: 'delay',
  notBefore: 'not_before',
  deadline: 'deadline',
  refuse: badField,
}

export function durationMs({ seconds, nanos }: Duration, field: string): number {
  const ms = Number(seconds) * 1_000 + Math.round(nanos / 1_000_000)
  if (ms >= 0 && nanos >= 0 && nanos < 1_000_000_000) return ms
  throw badField(field, `${field} must be a well-formed duration that is not negative.`)
}

/** Rounded up: not before is not before. */
export function momentMs({ seconds, nanos }: Timestamp): number {
  const ms = Number(seconds) * 1_000 + Math.ceil(nanos / 1_000_000)
  if (Math.abs(ms) <= MOMENT_MAX_MS && nanos >= 0 && nanos < 1_000_000_000) return ms
  throw badField('not_before', 'not_before must be a well-formed timestamp.')
}

/** What a Date can hold. */
const MOMENT_MAX_MS = 8.64e15

export function readPriority(given: number | undefined): number {
  if (given === undefined) return PRIORITY_DEFAULT
  if (given <= PRIORITY_MAX) return given
  throw badField('priority', `priority is ${given}; it must be 0 to ${PRIORITY_MAX}.`)
}
