import { type Field, leaf, quote } from './field.ts'

/** A file to read or the schema itself; which of the two is told by its type. */
export function schemaField(about: string): Field<string | object, string | object | null> {
  return leaf<string | object, string | object | null>({
    about,
    schema: { anyOf: [{ type: 'string', minLength: 1 }, { type: 'object' }] },
    absent: null,
    parse(given, place) {
      if (typeof given === 'string' || (typeof given === 'object' && !Array.isArray(given))) return given
      place.refuse(
        given,
        `${quote(given)} is not a JSON Schema.`,
        'Write a file name, or the schema as keys and values.',
      )
    },
  })
}
