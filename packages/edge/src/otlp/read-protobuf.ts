import { isUtf8 } from 'node:buffer'
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'
import {
  attributesOf,
  emptyFields,
  type OtlpAround,
  type OtlpFields,
  OtlpMalformed,
  type OtlpRecord,
  plainDouble,
  plainInteger,
  VALUE_DEPTH_MAX,
} from './otlp-record.ts'

/*
 * ExportLogsServiceRequest of opentelemetry.proto.collector.logs.v1, by its field numbers, read where it lies: no object
 * for each message, unknown fields passed over. A record that makes no sense is handed out with its bytes, since the
 * length before it says where the next one begins.
 */

/** Throws OtlpMalformed when the frame around the records is broken. */
export function* readOtlpProtobuf(bytes: Buffer): Generator<OtlpRecord> {
  for (const resourceLogs of within(bytes, 1)) {
    let resource = attributesOf()
    for (const message of within(resourceLogs, 1)) resource = guarded(() => attributesIn(message, 1, 0))
    for (const scopeLogs of within(resourceLogs, 2)) {
      let scope = ''
      for (const message of within(scopeLogs, 1)) scope = guarded(() => textIn(message, 1))
      const around: OtlpAround = { resource, scope }
      for (const record of within(scopeLogs, 2)) yield recordOf(record, around)
    }
  }
}

function recordOf(bytes: Buffer, around: OtlpAround): OtlpRecord {
  try {
    return { kind: 'record', record: fieldsOf(bytes), around }
  } catch (thrown) {
    return { kind: 'odd', bytes, reason: thrown instanceof NotUtf8 ? 'not-utf8' : 'not-the-format' }
  }
}

function fieldsOf(bytes: Buffer): OtlpFields {
  const fields = emptyFields()
  const reader = new BinaryReader(bytes)
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag()
    if (field === 1 && wire === WireType.Bit64) fields.timeNanos = BigInt(reader.fixed64())
    else if (field === 2 && wire === WireType.Varint) fields.severity = reader.int32()
    else if (field === 3 && wire === WireType.LengthDelimited) fields.severityText = text(reader)
    else if (field === 5 && wire === WireType.LengthDelimited) fields.body = plainValue(piece(reader), 0)
    else if (field === 6 && wire === WireType.LengthDelimited) put(fields.attributes, piece(reader), 0)
    else if (field === 9 && wire === WireType.LengthDelimited) fields.trace = piece(reader).toString('hex')
    else if (field === 10 && wire === WireType.LengthDelimited) fields.span = piece(reader).toString('hex')
    else if (field === 11 && wire === WireType.Bit64) fields.observedNanos = BigInt(reader.fixed64())
    else if (field === 12 && wire === WireType.LengthDelimited) fields.event = text(reader)
    else reader.skip(wire, field)
  }
  return fields
}

/** KeyValue messages of a field, as an object; the last of a name counts. */
function attributesIn(bytes: Buffer, field: number, depth: number): Record<string, unknown> {
  const attributes = attributesOf()
  for (const message of within(bytes, field)) put(attributes, message, depth)
  return attributes
}

function put(into: Record<string, unknown>, keyValue: Buffer, depth: number): void {
  const reader = new BinaryReader(keyValue)
  let key = ''
  let value: unknown = null
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag()
    if (field === 1 && wire === WireType.LengthDelimited) key = text(reader)
    else if (field === 2 && wire === WireType.LengthDelimited) value = plainValue(piece(reader), depth)
    else reader.skip(wire, field)
  }
  into[key] = value
}

/** AnyValue: of several that are set the last counts; of none, null. */
function plainValue(bytes: Buffer, depth: number): unknown {
  if (depth > VALUE_DEPTH_MAX) throw new OtlpMalformed(`Values lie more than ${VALUE_DEPTH_MAX} deep.`)
  const reader = new BinaryReader(bytes)
  let value: unknown = null
  while (reader.pos < reader.len) {
    const [field, wire] = reader.tag()
    if (field === 1 && wire === WireType.LengthDelimited) value = text(reader)
    else if (field === 2 && wire === WireType.Varint) value = reader.bool()
    else if (field === 3 && wire === WireType.Varint) value = plainInteger(BigInt(reader.int64()))
    else if (field === 4 && wire === WireType.Bit64) value = plainDouble(reader.double())
    else if (field === 5 && wire === WireType.LengthDelimited) value = listIn(piece(reader), depth + 1)
    else if (field === 6 && wire === WireType.LengthDelimited) value = attributesIn(piece(reader), 1, depth + 1)
    else if (field === 7 && wire === WireType.LengthDelimited) value = piece(reader).toString('base64')
    else reader.skip(wire, field)
  }
  return value
}

function listIn(bytes: Buffer, depth: number): unknown[] {
  const values: unknown[] = []
  for (const one of within(bytes, 1)) values.push(plainValue(one, depth))
  return values
}

/** The messages of a field, one after the other, without a copy. */
function* within(bytes: Buffer, wanted: number): Generator<Buffer> {
  const reader = new BinaryReader(bytes)
  while (reader.pos < reader.len) {
    const message = guarded(() => {
      const [field, wire] = reader.tag()
      if (field === wanted && wire === WireType.LengthDelimited) return piece(reader)
      reader.skip(wire, field)
      return null
    })
    if (message !== null) yield message
  }
}

function piece(reader: BinaryReader): Buffer {
  const bytes = reader.bytes()
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function textIn(bytes: Buffer, wanted: number): string {
  let found = ''
  for (const one of within(bytes, wanted)) found = textOf(one)
  return found
}

function text(reader: BinaryReader): string {
  return textOf(piece(reader))
}

function textOf(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw new NotUtf8('A text is not UTF-8.')
  return bytes.toString()
}

class NotUtf8 extends OtlpMalformed {}

function guarded<Value>(read: () => Value): Value {
  try {
    return read()
  } catch (cause) {
    if (cause instanceof OtlpMalformed) throw cause
    throw new OtlpMalformed('The body is no ExportLogsServiceRequest.', { cause })
  }
}
