import { ForebayError } from '@forebay/protocol'
import { Ajv2020, type ErrorObject } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'

/**
 * Checks a parsed body against a queue's JSON Schema (2020-12), compiled once. Throws SCHEMA_MISMATCH, which names
 * pointer, rule and value of each fault, at most `FAULTS_MAX`.
 */
export type CheckBody = (body: unknown) => void

export const FAULTS_MAX = 10
/** How much of a wrong value is shown. characters */
const SHOWN_CHARACTERS = 64

/** Throws CONFIG_INVALID for a schema that is none. */
export function bodyCheck(queue: string, schema: object): CheckBody {
  const ajv = new Ajv2020({ allErrors: true, verbose: true, strict: false, allowUnionTypes: true })
  formats.default(ajv)
  const validate = compile(ajv, queue, schema)
  return (body) => {
    let valid: boolean
    try {
      valid = validate(body) as boolean
    } catch (thrown) {
      if (!(thrown instanceof RangeError)) throw thrown
      throw new ForebayError('SCHEMA_MISMATCH', 'The body is nested too deeply to be checked.')
    }
    if (valid) return
    const errors = validate.errors ?? []
    const faults = errors.slice(0, FAULTS_MAX).map(describe)
    const more = errors.length > FAULTS_MAX ? ` (and ${errors.length - FAULTS_MAX} more)` : ''
    throw new ForebayError(
      'SCHEMA_MISMATCH',
      `The body does not meet the schema of queue "${queue}": ${faults.join('; ')}${more}.`,
      {
        members: { queue, faults },
      },
    )
  }
}

function compile(ajv: Ajv2020, queue: string, schema: object) {
  try {
    return ajv.compile(schema)
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown)
    throw new ForebayError('CONFIG_INVALID', `queues.${queue}.schema is not a JSON Schema (2020-12): ${why}`, {
      cause: thrown,
    })
  }
}

function describe({ instancePath, message, keyword, data, params }: ErrorObject): string {
  const extra = keyword === 'additionalProperties' ? ` (${JSON.stringify(params.additionalProperty)})` : ''
  const one = keyword === 'enum' ? ` ${cut(JSON.stringify(params.allowedValues))}` : ''
  return `${instancePath === '' ? 'the body' : instancePath} ${message}${extra}${one} [${keyword}], got ${shown(data)}`
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return `an array of ${value.length}`
  if (typeof value === 'object' && value !== null) return 'an object'
  return cut(JSON.stringify(value) ?? 'nothing')
}

function cut(text: string): string {
  return text.length <= SHOWN_CHARACTERS ? text : `${text.slice(0, SHOWN_CHARACTERS)}…`
}
