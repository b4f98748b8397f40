import type { EventSchema } from '../schema.ts'
import { isObject, type Json, pointerText, SCHEMAS_AT } from './json.ts'

/** The schema of a payload as `components.schemas[name]` has it. */
export function payloadSchema({ format, text }: EventSchema, name: string): unknown {
  if (format === 'protobuf') return { schemaFormat: PROTOBUF, schema: text }
  // The name of a primitive type is a schema of Avro as well, without quotes.
  if (format === 'avro') return { schemaFormat: AVRO, schema: /^[a-z]+$/.test(text) ? text : JSON.parse(text) }
  return jsonPayload(JSON.parse(text) as unknown, name)
}

/**
 * AsyncAPI's default is JSON Schema draft-07, ours 2020-12. A schema that says the same in both stands as it is, another
 * one under the name of its format.
 */
export function jsonPayload(schema: unknown, name: string): unknown {
  if (typeof schema === 'boolean') return schema
  const at = `${SCHEMAS_AT}/${pointerText(name)}`
  if (meansTheSame(schema)) return rewritten(schema, at)
  return { schemaFormat: JSON_SCHEMA_2020, schema: rewritten(schema, `${at}/schema`) }
}

export const JSON_SCHEMA_2020 = 'application/schema+json;version=draft-2020-12'
export const AVRO = 'application/vnd.apache.avro+json;version=1.9.0'
export const PROTOBUF = 'application/vnd.google.protobuf;version=3'

/** Keywords that draft-07 has not; it would pass over them. */
const ONLY_IN_2020 = new Set([
  'prefixItems',
  'unevaluatedItems',
  'unevaluatedProperties',
  'dependentRequired',
  'dependentSchemas',
  'minContains',
  'maxContains',
  '$anchor',
  '$dynamicRef',
  '$dynamicAnchor',
  '$vocabulary',
  '$id',
])
/** Beside a `$ref` draft-07 reads nothing. */
const SAYS_NOTHING = new Set(['$ref', '$defs', 'title', 'description', '$comment', 'default', 'examples'])
/** Their values are data. */
const DATA = new Set(['const', 'enum', 'default', 'examples'])

function meansTheSame(schema: unknown): boolean {
  if (Array.isArray(schema)) return schema.every(meansTheSame)
  if (!isObject(schema)) return true
  if (typeof schema.$ref === 'string' && Object.keys(schema).some((keyword) => !SAYS_NOTHING.has(keyword))) return false
  return Object.entries(schema).every(
    ([keyword, value]) => !ONLY_IN_2020.has(keyword) && (DATA.has(keyword) || meansTheSame(value)),
  )
}

/** References within the schema lead to its place in the document; what names the schema itself goes. */
function rewritten(schema: unknown, at: string): unknown {
  if (Array.isArray(schema)) return schema.map((one) => rewritten(one, at))
  if (!isObject(schema)) return schema
  const copy: Record<string, unknown> = {}
  for (const [keyword, value] of Object.entries(schema as Json)) {
    if (keyword === '$schema') continue
    if (keyword === '$ref' && typeof value === 'string' && /^#(\/|$)/.test(value)) copy.$ref = at + value.slice(1)
    else copy[keyword] = DATA.has(keyword) ? value : rewritten(value, at)
  }
  return copy
}
