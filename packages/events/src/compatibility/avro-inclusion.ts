import avro, { type Type } from 'avsc'
import type { SchemaText } from '../schema.ts'
import type { Problem } from './place.ts'

/**
 * Whether data of the writer's Avro schema can be read by the reader's, by Avro's rules of resolution. Each reader then has
 * to be told the writer's schema, as a schema registry does.
 */
export function avroProblems(reader: SchemaText, writer: SchemaText): readonly Problem[] {
  const types: Type[] = []
  for (const schema of [reader, writer]) {
    try {
      types.push(typeOf(schema))
    } catch (cause) {
      const message = `cannot be decided: an Avro schema cannot be read on its own: ${(cause as Error).message}`
      return [{ path: '', message, isCertain: false }]
    }
  }
  try {
    types[0]!.createResolver(types[1]!)
    return []
  } catch (cause) {
    return [{ path: '', message: (cause as Error).message, isCertain: true }]
  }
}

function typeOf({ text, imports = [] }: SchemaText): Type {
  const registry = {}
  for (const one of imports) avro.Type.forSchema(JSON.parse(one.text), { registry })
  return avro.Type.forSchema(/^[a-z]+$/.test(text) ? text : JSON.parse(text), { registry })
}
