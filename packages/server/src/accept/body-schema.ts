import { createRequire } from 'node:module'
import { ForebayError } from '@forebay/protocol/errors'
import type { Ajv2020, ErrorObject } from 'ajv/dist/2020.js'

/**
 * Checks a parsed body against a JSON Schema (2020-12), compiled once. Throws SCHEMA_MISMATCH, which names
 * pointer, rule and value of each fault, at most `FAULTS_MAX`.
 */
export type CheckBody = (body: unknown) => void

export const FAULTS_MAX = 10
/** How much of a wrong value is shown. characters */
const SHOWN_CHARACTERS = 64

/** How what is checked is spoken of. */
export interface Checked {
  /** As a sentence begins: 'The body'. */
  readonly subject: string
  /** Within a sentence, for the whole of it: 'the body'. */
  readonly root: string
  /** 'the schema of queue "orders"' */
  readonly schema: string
  /** Of the configuration. */
  readonly field: string
  /** Of the problem. */
  readonly members: Readonly<Record<string, string | number>>
}

/** Throws CONFIG_INVALID for a schema that is none. */
export function bodyCheck(queue: string, schema: object): CheckBody {
  const about = { subject: 'The body', root: 'the body', schema: `the schema of queue "${queue}"`, members: { queue } }
  return schemaCheck({ ...about, field: `queues.${queue}.schema` }, schema)
}

/** The same for whatever else has a schema. */
export function schemaCheck(checked: Checked, schema: object): CheckBody {
  const { subject, root, field, members } = checked
  const ajv = newAjv()
  const validate = compile(ajv, field, schema)
  return (body) => {
    let valid: boolean
    try {
      valid = validate(body) as boolean
    } catch (thrown) {
      if (!(thrown instanceof RangeError)) throw thrown
      throw new ForebayError('SCHEMA_MISMATCH', `${subject} is nested too deeply to be checked.`)
    }
    if (valid) return
    const errors = validate.errors ?? []
    const faults = errors.slice(0, FAULTS_MAX).map((error) => describe(error, root))
    const more = errors.length > FAULTS_MAX ? ` (and ${errors.length - FAULTS_MAX} more)` : ''
    throw new ForebayError(
      'SCHEMA_MISMATCH',
      `${subject} does not meet ${checked.schema}: ${faults.join('; ')}${more}.`,
      { members: { ...members, faults } },
    )
  }
}

/** Loaded with the first schema: a configuration without one, and every command that reads it, start the sooner. */
function newAjv(): Ajv2020 {
  const { Ajv2020 } = require('ajv/dist/2020.js') as typeof import('ajv/dist/2020.js')
  const formats = require('ajv-formats') as typeof import('ajv-formats')
  const ajv = new Ajv2020({ allErrors: true, verbose: true, strict: false, allowUnionTypes: true })
  formats.default(ajv)
  return ajv
}

const require = createRequire(import.meta.url)

function compile(ajv: Ajv2020, field: string, schema: object) {
  try {
    const validate = ajv.compile(schema)
    // It would answer with a promise, which passes for a yes.
    if ('$async' in validate) throw new Error('it is asynchronous ($async); leave that out')
    return validate
  } catch (thrown) {
    const why = thrown instanceof Error ? thrown.message : String(thrown)
    throw new ForebayError('CONFIG_INVALID', `${field} is not a JSON Schema (2020-12): ${why}`, {
      cause: thrown,
    })
  }
}

function describe({ instancePath, message, keyword, data, params }: ErrorObject, root: string): string {
  const extra = keyword === 'additionalProperties' ? ` (${JSON.stringify(params.additionalProperty)})` : ''
  const one = keyword === 'enum' ? ` ${cut(JSON.stringify(params.allowedValues))}` : ''
  return `${instancePath === '' ? root : instancePath} ${message}${extra}${one} [${keyword}], got ${shown(data)}`
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return `an array of ${value.length}`
  if (typeof value === 'object' && value !== null) return 'an object'
  return cut(JSON.stringify(value) ?? 'nothing')
}

function cut(text: string): string {
  return text.length <= SHOWN_CHARACTERS ? text : `${text.slice(0, SHOWN_CHARACTERS)}…`
}
