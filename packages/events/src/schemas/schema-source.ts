import { readFileSync } from 'node:fs'
import { ForebayError } from '@forebay/protocol'

/** A schema's text, or the file that holds it. */
export type SchemaSource = { readonly text: string } | { readonly file: string | URL }

/** Throws CONFIG_INVALID for a file that cannot be read. Once, when events are defined: so it may wait for the disk. */
export function readSource(source: SchemaSource): string {
  if ('text' in source) return source.text
  try {
    return readFileSync(source.file, 'utf8')
  } catch (cause) {
    const why = (cause as Error).message
    throw new ForebayError('CONFIG_INVALID', `The schema file ${String(source.file)} cannot be read: ${why}.`, {
      cause,
    })
  }
}
