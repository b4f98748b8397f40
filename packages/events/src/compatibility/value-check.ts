import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import { isObject } from '../asyncapi/json.ts'

/** Tells whether a value meets a schema of one document; null where the schema cannot be used. */
export type ValueCheck = (schema: unknown, value: unknown) => boolean | null

/** As `jsonSchema` checks data, for any schema within `root`, whose references stay good. */
export function valueCheck(root: unknown): ValueCheck {
  const ajv = new Ajv2020({ strict: false, validateSchema: false, logger: false })
  formats.default(ajv)
  if (isObject(root)) ajv.addSchema(root, ROOT)
  const compiled = new WeakMap<object, ((value: unknown) => boolean) | null>()
  return (schema, value) => {
    if (typeof schema === 'boolean') return schema
    if (!isObject(schema)) return null
    let check = compiled.get(schema)
    if (check === undefined) {
      check = compile(schema)
      compiled.set(schema, check)
    }
    try {
      return check === null ? null : check(value)
    } catch {
      // A schema that leads to itself before it looks into the value.
      return null
    }
  }

  function compile(schema: object): ((value: unknown) => boolean) | null {
    try {
      return ajv.compile(fromRoot(schema) as object) as (value: unknown) => boolean
    } catch {
      return null
    }
  }
}

const ROOT = 'forebay:root'

/** A part of a document stands for itself here, so its references begin at the document's name. */
function fromRoot(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(fromRoot)
  if (!isObject(schema)) return schema
  return Object.fromEntries(
    Object.entries(schema)
      .filter(([keyword]) => keyword !== '$id' && keyword !== '$schema')
      .map(([keyword, value]) => {
        if (keyword === '$ref' && typeof value === 'string' && value.startsWith('#')) return ['$ref', ROOT + value]
        return [keyword, keyword === 'const' || keyword === 'enum' ? value : fromRoot(value)]
      }),
  )
}
