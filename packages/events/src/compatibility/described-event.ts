import { ForebayError } from '@forebay/protocol'
import { isObject, type Json } from '../asyncapi/json.ts'
import type { EventDefinition } from '../define-event.ts'
import type { EventSchema, SchemaText } from '../schema.ts'
import type { SchemaRoot } from './branches.ts'
import { schemaRoot } from './branches.ts'
import { resolveRef } from './schema-place.ts'

/** One version of an event, as far as whoever describes it can say. */
export interface DescribedEvent {
  readonly name: string
  readonly version: number
  /** Null: not said. */
  readonly topic: string | null
  /** Whether there is an ordering key. Null: not said. */
  readonly isKeyed: boolean | null
  readonly schema: DescribedSchema
}

export type DescribedSchema =
  | { readonly format: 'json'; readonly schema: unknown; readonly root: SchemaRoot }
  | TextSchema

/** Avro or Protobuf, by its text. */
export interface TextSchema extends SchemaText {
  readonly format: 'avro' | 'protobuf'
  /** The message that a .proto text is of. Default: not said. */
  readonly recordName?: string | null
}

export function describeDefinition({ name, version, topic, isKeyed, schema }: EventDefinition): DescribedEvent {
  const { format, text, imports = [], recordName = null } = schema
  if (format !== 'json') return { name, version, topic, isKeyed, schema: { format, text, imports, recordName } }
  return { name, version, topic, isKeyed, schema: describeSchema(format, text) }
}

/** From the text of a schema. Throws CONFIG_INVALID for JSON that is none. */
export function describeSchema(format: EventSchema['format'], text: string): DescribedSchema {
  if (format !== 'json') return { format, text }
  try {
    const schema = JSON.parse(text) as unknown
    return { format, schema, root: schemaRoot(schema) }
  } catch (cause) {
    throw new ForebayError('CONFIG_INVALID', `A schema is not JSON: ${(cause as Error).message}.`, { cause })
  }
}

/**
 * The events of an AsyncAPI 3 document, ours or another's: messages of its channels, by their names, and by the version in
 * the header `ce_dataversion` (none: 1). Tasks and their results are none. Throws CONFIG_INVALID for another document.
 */
export function describeDocument(document: unknown): readonly DescribedEvent[] {
  if (!isObject(document) || !/^3\./.test(String(document.asyncapi))) {
    throw new ForebayError('CONFIG_INVALID', 'This is no AsyncAPI 3 document.')
  }
  const root = schemaRoot(document)
  return Object.entries(objectOf(document.channels)).flatMap(([id, channel]) => {
    const { address, messages } = followed(document, channel)
    const topic = typeof address === 'string' ? address : id
    return Object.entries(objectOf(messages)).flatMap(([key, message]) =>
      describeMessage(document, root, topic, key, followed(document, message)),
    )
  })
}

function describeMessage(document: Json, root: SchemaRoot, topic: string, key: string, message: Json) {
  const name = typeof message.name === 'string' ? message.name : key
  if (/^forebay\.task(\.|$)/.test(name)) return []
  const headers = objectOf(followed(document, message.headers).properties)
  const version = Number(objectOf(headers.ce_dataversion).const ?? 1)
  const kafka = objectOf(objectOf(message.bindings).kafka)
  const isKeyed = message.bindings === undefined ? null : kafka.key !== undefined
  return [{ name, version, topic, isKeyed, schema: payloadOf(document, root, message.payload) }]
}

function payloadOf(document: Json, root: SchemaRoot, payload: unknown): DescribedSchema {
  const found = isObject(payload) && typeof payload.$ref === 'string' ? resolveRef(document, payload.$ref) : payload
  if (!isObject(found) || typeof found.schemaFormat !== 'string') return { format: 'json', schema: found ?? true, root }
  const { schemaFormat, schema } = found
  if (/avro/i.test(schemaFormat)) return { format: 'avro', text: JSON.stringify(schema) }
  if (/protobuf/i.test(schemaFormat)) return { format: 'protobuf', text: String(schema) }
  if (/json|asyncapi/i.test(schemaFormat)) return { format: 'json', schema, root }
  throw new ForebayError('CONFIG_INVALID', `The format ${schemaFormat} of a schema is none that is known here.`)
}

function followed(document: Json, value: unknown): Json {
  const found = isObject(value) && typeof value.$ref === 'string' ? resolveRef(document, value.$ref) : value
  return objectOf(found)
}

function objectOf(value: unknown): Json {
  return isObject(value) ? value : {}
}
