/** An object of a JSON document. */
export type Json = Readonly<Record<string, unknown>>

export const MESSAGES_AT = '#/components/messages'
export const SCHEMAS_AT = '#/components/schemas'

export function ref(place: string, name: string): { readonly $ref: string } {
  return { $ref: `${place}/${pointerText(name)}` }
}

/** A name within a JSON pointer. */
export function pointerText(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1')
}

export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
