import type { Json } from './json.ts'

/**
 * A value that is likely to meet a schema: of its own examples and defaults first, else the least that its keywords ask
 * for. Null where it cannot be told (the caller checks it anyway); `root` is where references begin.
 */
export function exampleOf(schema: unknown, root: Json, depth = 0): unknown {
  if (typeof schema !== 'object' || schema === null || depth > DEPTH_MAX) return null
  const given = schema as Json
  for (const key of ['example', 'const', 'default']) if (given[key] !== undefined) return given[key]
  for (const key of ['examples', 'enum']) if (Array.isArray(given[key]) && given[key].length > 0) return given[key][0]
  if (typeof given.$ref === 'string') return exampleOf(at(root, given.$ref), root, depth + 1)
  if (Array.isArray(given.allOf)) return merged([...given.allOf, { ...given, allOf: undefined }], root, depth)
  for (const key of ['oneOf', 'anyOf']) if (Array.isArray(given[key])) return exampleOf(given[key][0], root, depth + 1)
  return ofType(given, root, depth)
}

const DEPTH_MAX = 8

function ofType(given: Json, root: Json, depth: number): unknown {
  const type = Array.isArray(given.type)
    ? given.type[0]
    : (given.type ?? (given.properties === undefined ? null : 'object'))
  switch (type) {
    case 'object':
      return ofObject(given, root, depth)
    case 'array': {
      const count = Math.min(Math.max(number(given.minItems) ?? 1, given.items === undefined ? 0 : 1), ITEMS_MAX)
      return Array.from({ length: count }, () => exampleOf(given.items, root, depth + 1))
    }
    case 'integer':
    case 'number':
      return ofNumber(given)
    case 'boolean':
      return true
    case 'string':
      return ofString(given)
    default:
      return null
  }
}

const ITEMS_MAX = 20

/** With what is required, and a few more that show what there is. */
function ofObject(given: Json, root: Json, depth: number): Json {
  const properties = (given.properties ?? {}) as Json
  const required = Array.isArray(given.required) ? given.required.map(String) : []
  const names = required.length > 0 ? required : Object.keys(properties).slice(0, OPTIONAL_SHOWN)
  return Object.fromEntries(
    names.map((name) => [name, exampleOf(properties[name] ?? { type: 'string' }, root, depth + 1)]),
  )
}

const OPTIONAL_SHOWN = 4

/** The first step within the bounds. */
function ofNumber(given: Json): number {
  const step = number(given.multipleOf) ?? 1
  const least = number(given.minimum) ?? number(given.exclusiveMinimum)
  const most = number(given.maximum) ?? number(given.exclusiveMaximum)
  if (least === undefined) return most === undefined ? step : Math.floor(most / step) * step - step
  const first = Math.ceil(least / step) * step
  return first === given.exclusiveMinimum ? first + step : first
}

function ofString(given: Json): string {
  const format = typeof given.format === 'string' ? FORMATS[given.format] : undefined
  const text = format ?? 'text'
  const least = number(given.minLength) ?? 0
  const most = number(given.maxLength) ?? Number.POSITIVE_INFINITY
  return text.padEnd(least, 'x').slice(0, Math.max(most, 0))
}

const FORMATS: Readonly<Record<string, string>> = {
  'date-time': '2026-05-01T08:30:00Z',
  date: '2026-05-01',
  time: '08:30:00Z',
  duration: 'PT1H',
  email: 'ann@example.com',
  hostname: 'example.com',
  ipv4: '192.0.2.1',
  ipv6: '2001:db8::1',
  uri: 'https://example.com/',
  uuid: '6f9619ff-8b86-4011-b42d-00cf4fc964ff',
}

function merged(parts: readonly unknown[], root: Json, depth: number): unknown {
  const values = parts.map((part) => exampleOf(part, root, depth + 1))
  const objects = values.filter((value) => typeof value === 'object' && value !== null && !Array.isArray(value))
  return objects.length > 0 ? Object.assign({}, ...objects) : (values.find((value) => value !== null) ?? null)
}

/** By a pointer in a fragment: '#/$defs/line'. */
function at(root: Json, reference: string): unknown {
  if (!reference.startsWith('#')) return null
  const steps = reference.slice(1).split('/').slice(1)
  return steps.reduce<unknown>((part, step) => {
    const name = step.replaceAll('~1', '/').replaceAll('~0', '~')
    return typeof part === 'object' && part !== null ? (part as Json)[name] : null
  }, root)
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined
}
