import { ForebayError } from '@forebay/protocol'
import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'
import type { EventSchema } from './schema.ts'

/** JSON that meets a JSON Schema (2020-12). Throws CONFIG_INVALID for a schema that is none. */
export function jsonSchema<Data>(schema: object): EventSchema<Data> {
  const ajv = new Ajv2020({ allErrors: true, strict: false })
  formats.default(ajv)
  let validate: ReturnType<typeof ajv.compile>
  try {
    validate = ajv.compile(schema)
  } catch (cause) {
    throw new ForebayError('CONFIG_INVALID', `The schema is not a JSON Schema: ${(cause as Error).message}.`, { cause })
  }
  if ('$async' in validate)
    throw new ForebayError('CONFIG_INVALID', 'The schema is asynchronous ($async): leave that out.')
  return {
    format: 'json',
    contentType: 'application/json',
    text: JSON.stringify(schema),
    recordName: 'title' in schema && typeof schema.title === 'string' ? schema.title : null,
    encode(data) {
      if (!validate(data)) throw new ForebayError('EVENT_INVALID', `The data does not meet its schema: ${faults()}.`)
      try {
        return Buffer.from(JSON.stringify(data))
      } catch (cause) {
        throw new ForebayError('EVENT_INVALID', `The data cannot be written as JSON: ${(cause as Error).message}.`, {
          cause,
        })
      }
    },
    decode(bytes) {
      let data: unknown
      try {
        data = JSON.parse(STRICT_UTF8.decode(bytes))
      } catch (cause) {
        throw new ForebayError('EVENT_UNDECODABLE', 'The data is not JSON.', { cause })
      }
      if (!validate(data)) {
        throw new ForebayError('EVENT_UNDECODABLE', `The data does not meet its schema: ${faults()}.`)
      }
      return data as Data
    },
  }

  function faults(): string {
    const told = (validate.errors ?? []).slice(0, FAULTS_TOLD_MAX)
    return told.map(({ instancePath, message }) => `${instancePath === '' ? '/' : instancePath} ${message}`).join('; ')
  }
}

const STRICT_UTF8 = new TextDecoder('utf-8', { fatal: true })
const FAULTS_TOLD_MAX = 5
