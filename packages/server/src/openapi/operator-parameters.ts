import type { ErrorCode } from '@forebay/protocol'
import type { Json } from './json.ts'

/** What every operators' route may refuse with. */
export const OPERATOR_CODES: readonly ErrorCode[] = ['UNAUTHENTICATED', 'FORBIDDEN', 'OVERLOADED', 'STOPPING']

export function inPath(name: string, description: string, schema: Json = { type: 'string' }): Json {
  return { name, in: 'path', required: true, description, schema }
}

export function inQuery(name: string, schema: Json, description?: string): Json {
  return { name, in: 'query', required: false, ...(description === undefined ? {} : { description }), schema }
}
