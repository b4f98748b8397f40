/** Any part of a document that is sent as JSON. */
export type Json = { readonly [name: string]: unknown }

export function schema(name: string): Json {
  return { $ref: `#/components/schemas/${name}` }
}

export function parameter(name: string): Json {
  return { $ref: `#/components/parameters/${name}` }
}

export function header(name: string): Json {
  return { $ref: `#/components/headers/${name}` }
}

export function jsonContent(of: Json): Json {
  return { 'application/json': { schema: of } }
}

/** Of bodies and results: whatever type it is. */
export const ANY_TYPE = '*/*'
