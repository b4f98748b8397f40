import { isObject, type Json } from '../asyncapi/json.ts'
import type { DescribedSchema, TextSchema } from './described-event.ts'
import { ANNOTATIONS, isSameData, isSameSchema, resolveRef } from './schema-place.ts'

const CHANGES_MAX = 50

/** What differs, one line each: for people, and no more than a beginning where it is much. */
export function schemaChanges(old: DescribedSchema, now: DescribedSchema): readonly string[] {
  if (old.format !== 'json' && now.format !== 'json' && old.format === now.format) {
    return isSameData(saidBy(old), saidBy(now)) ? [] : ['the text of the schema, or of what it imports, changed']
  }
  if (old.format !== 'json' || now.format !== 'json') return [`format: ${old.format} → ${now.format}`]
  if (isSameSchema(old.schema, old.root.root, now.schema, now.root.root)) return []
  const found: string[] = []
  compare(followed(old.schema, old.root.root), followed(now.schema, now.root.root), '', true)
  if (found.length === 0) found.push('what a reference leads to changed')
  return found.length > CHANGES_MAX ? [...found.slice(0, CHANGES_MAX), `and ${found.length - CHANGES_MAX} more`] : found

  function compare(before: unknown, after: unknown, path: string, isSchema: boolean): void {
    if (isSameData(before, after)) return
    if (!isObject(before) || !isObject(after)) {
      found.push(`${path === '' ? '/' : path}: ${shown(before)} → ${shown(after)}`)
      return
    }
    for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
      if (isSchema && ANNOTATIONS.has(name) && !name.startsWith('$d') && name !== 'definitions') continue
      if (name === '$ref' && isSchema && before.$ref !== undefined && after.$ref !== undefined) continue
      const here = path === '' ? name : `${path}.${name}`
      if (!Object.hasOwn(before, name)) found.push(`${here}: + ${shown(after[name])}`)
      else if (!Object.hasOwn(after, name)) found.push(`${here}: - ${shown(before[name])}`)
      else compare(before[name], after[name], here, !(isSchema && MAPS.has(name)))
    }
  }
}

/** JSON however it is written; texts of Protobuf to the letter. */
function saidBy({ format, text, imports = [] }: TextSchema): unknown {
  const isJson = format === 'avro' && !/^[a-z]+$/.test(text)
  return { text: isJson ? (JSON.parse(text) as unknown) : text, imports }
}

const MAPS = new Set(['properties', 'patternProperties', 'dependentSchemas', '$defs', 'definitions'])

function followed(schema: unknown, root: unknown): unknown {
  const ref = isObject(schema) && Object.keys(schema).length === 1 ? (schema as Json).$ref : undefined
  return typeof ref === 'string' ? resolveRef(root, ref) : schema
}

const SHOWN_CHARS_MAX = 80

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > SHOWN_CHARS_MAX ? `${text.slice(0, SHOWN_CHARS_MAX)}…` : text
}
