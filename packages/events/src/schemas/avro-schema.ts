import { ForebayError } from '@forebay/protocol'
import avro, { type Type } from 'avsc'
import type { EventSchema, SchemaImport, SchemaText } from '../schema.ts'
import { boundsOf } from './avro-bounds.ts'
import { numberTypes } from './avro-numbers.ts'
import { faultAt, invalidData, messageOf, undecodable } from './data-faults.ts'
import { readSource, type SchemaSource } from './schema-source.ts'

export type AvroSchemaOptions = SchemaSource & {
  /**
   * What a `long` is in TypeScript. 'number' (default): one beyond 2^53 - 1 is refused, never rounded. 'bigint': always a
   * bigint.
   */
  readonly longs?: 'number' | 'bigint'
  /** Named types that the text uses and does not define, each after those that it uses itself. */
  readonly imports?: readonly SchemaImport[]
}

/**
 * Avro 1.11 in its binary encoding, without a header. `Data` is the caller's word: nothing derives it from the text.
 * `bytes` and `fixed` are Buffers; a union's value stands bare where its branches can be told apart, else as `{ branch:
 * value }`; logical types are what they are stored as. Throws CONFIG_INVALID for a text that is no schema.
 */
export function avroSchema<Data>(options: AvroSchemaOptions): EventSchema<Data> {
  const { longs = 'number', imports = [] } = options
  const text = readSource(options)
  let type: Type
  try {
    type = parseAvro({ text, imports }, longs)
  } catch (cause) {
    throw new ForebayError('CONFIG_INVALID', `The schema is not an Avro schema: ${messageOf(cause)}.`, { cause })
  }
  return {
    format: 'avro',
    contentType: 'application/avro',
    text,
    imports,
    recordName: type.name ?? null,
    encode(data) {
      try {
        if (type.isValid(data, NOTHING_MORE)) return type.toBuffer(data)
      } catch (cause) {
        // Data that holds itself, or is nested beyond what a call stack has.
        throw invalidData([faultAt([], messageOf(cause))], cause)
      }
      throw invalidData(faultsOf(type, data))
    },
    decode: decoder(type, type),
    decoderOf: (writer) => decoder(type, parseWriter(writer)),
  }

  function decoder(reader: Type, writer: Type): (bytes: Uint8Array) => Data {
    const checkBounds = boundsOf(writer)
    const resolver = reader === writer ? undefined : resolverOf(reader, writer)
    return (bytes) => {
      const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      try {
        checkBounds(buffer)
        return reader.fromBuffer(buffer, resolver) as Data
      } catch (cause) {
        throw undecodable(messageOf(cause), cause)
      }
    }
  }
}

function parseAvro({ text, imports = [] }: SchemaText, longs: 'number' | 'bigint'): Type {
  const options = { registry: numberTypes(longs), omitRecordMethods: true }
  for (const one of imports) avro.Type.forSchema(JSON.parse(one.text), options)
  return avro.Type.forSchema(schemaOf(text), options)
}

/** The name of a primitive type is a schema too, with or without quotes. */
function schemaOf(text: string) {
  return /^[a-z]+$/.test(text) ? text : JSON.parse(text)
}

/** With bigints, as a reader may take its longs for doubles. */
function parseWriter(writer: SchemaText): Type {
  try {
    return parseAvro(writer, 'bigint')
  } catch (cause) {
    throw undecodable(`its writer's schema is not Avro: ${messageOf(cause)}`, cause)
  }
}

function resolverOf(reader: Type, writer: Type) {
  try {
    return reader.createResolver(writer)
  } catch (cause) {
    throw undecodable(`its writer's schema does not resolve to this one: ${messageOf(cause)}`, cause)
  }
}

/** With a stranger among its fields avsc looks no further into a record: so a second time without. */
function faultsOf(type: Type, data: unknown): string[] {
  const faults = new Set<string>()
  const errorHook = (path: string[], value: unknown, expected: Type) => {
    const strangers = strangersIn(expected, value)
    const what =
      strangers === '' ? `must be ${nameOf(expected)}` : `has fields that ${nameOf(expected)} has not: ${strangers}`
    faults.add(faultAt(path, what))
  }
  type.isValid(data, { ...NOTHING_MORE, errorHook })
  type.isValid(data, { errorHook })
  return [...faults]
}

function nameOf(type: Type): string {
  if (avro.Type.isType(type, 'union')) {
    return `one of ${(type as avro.types.UnwrappedUnionType).types.map(nameOf).join(', ')}`
  }
  return type.name ?? type.typeName.replace('abstract:', '')
}

function strangersIn(type: Type, value: unknown): string {
  if (!avro.Type.isType(type, 'record') || typeof value !== 'object' || value === null) return ''
  const known = new Set((type as avro.types.RecordType).fields.map(({ name }) => name))
  const strangers = Object.keys(value).filter((name) => !known.has(name))
  return strangers.slice(0, STRANGERS_TOLD_MAX).join(', ')
}

/** A field that the schema does not have would be lost without a word. */
const NOTHING_MORE = { noUndeclaredFields: true }
const STRANGERS_TOLD_MAX = 5
