import { ROW_VERSION, type UndecodableReason } from '../row.ts'
import { rowOfNginx } from './nginx-line.ts'
import type { Redaction } from './redaction.ts'

/** A line that should be a JSON object. A row that holds nothing to hide stays the bytes it is. */
export type JsonLine =
  | { readonly kind: 'as-is' }
  | { readonly kind: 'rewritten'; readonly value: Buffer }
  | { readonly kind: 'unreadable'; readonly reason: UndecodableReason }

const AS_IS: JsonLine = { kind: 'as-is' }
const NOT_JSON: JsonLine = { kind: 'unreadable', reason: 'not-json' }
const NOT_AN_OBJECT: JsonLine = { kind: 'unreadable', reason: 'not-an-object' }
const NOT_THE_FORMAT: JsonLine = { kind: 'unreadable', reason: 'not-the-format' }

/** `latin1` is the line with a character for each byte; `bytes` must be UTF-8. */
export function readJsonLine(latin1: string, bytes: () => string, redaction: Redaction): JsonLine {
  const row = parsed(latin1)
  if (row === undefined) return NOT_JSON
  if (row === null || typeof row !== 'object' || Array.isArray(row)) return NOT_AN_OBJECT
  const isNginx = 'nginx' in row && !('v' in row)
  if (!isNginx && !normalise(row as Given, redaction)) return AS_IS
  // Only now the characters count.
  const given = JSON.parse(bytes()) as Given
  const exact = isNginx ? rowOfNginx(given) : given
  if (exact === null) return NOT_THE_FORMAT
  normalise(exact, redaction)
  return { kind: 'rewritten', value: Buffer.from(JSON.stringify(exact)) }
}

/** A row that is being made. */
export type Given = Record<string, unknown>

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Makes a row of it, in place, and hides what has to be; false when it was one and there was nothing to hide. */
export function normalise(row: Given, redaction: Redaction): boolean {
  let changed = false
  if (row.v !== ROW_VERSION || typeof row.kind !== 'string' || OURS_ALONE.has(row.kind)) {
    row.v = ROW_VERSION
    row.kind = 'access'
    changed = true
  }
  const { query, path, referer, client } = row
  if (typeof query === 'string' && query !== '') changed = put(row, 'query', query, redaction.query(query)) || changed
  if (typeof path === 'string') changed = put(row, 'path', path, redaction.url(path)) || changed
  if (typeof referer === 'string') changed = put(row, 'referer', referer, redaction.url(referer)) || changed
  if (!redaction.keepsClient && typeof client === 'string') {
    changed = put(row, 'client', client, redaction.client(client)) || changed
  }
  for (const [name, shape] of IDS) {
    const id = row[name]
    if (id === undefined || (typeof id === 'string' && shape.test(id))) continue
    row.claimed = { ...(typeof row.claimed === 'object' ? row.claimed : {}), [name]: id }
    row[name] = ''
    changed = true
  }
  return redaction.members(row) || changed
}

/** Only the collector says so. */
const OURS_ALONE: ReadonlySet<string> = new Set(['undecodable', 'dropped'])

/** What is no id goes to `claimed`, so that nobody joins by it. */
const IDS: readonly (readonly [name: string, shape: RegExp])[] = [
  ['requestId', /^[\w.:-]{0,128}$/],
  ['trace', /^(?:[0-9a-f]{32})?$/],
  ['task', /^[\w.:-]{0,128}$/],
]

function put(row: Given, name: string, before: string, after: string): boolean {
  row[name] = after
  return before !== after
}
