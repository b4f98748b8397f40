import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'

/** Why a JSON Schema (2020-12) cannot be used; null when it can. */
export function schemaFault(schema: object): string | null {
  const ajv = new Ajv2020({ strict: false })
  addFormats.default(ajv)
  try {
    ajv.compile(schema)
    return null
  } catch (error) {
    return (error instanceof Error ? error.message : String(error)).replace(/\.$/, '')
  }
}
