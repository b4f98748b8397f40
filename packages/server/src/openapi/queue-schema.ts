import type { Json } from './json.ts'

/**
 * A queue's JSON Schema as parts of a document: references of the schema to places in itself are moved along, its
 * definitions (`$defs`) become schemas of the document, since many generators follow references only there. One that has an
 * `$id` is a resource of its own and stays as it is.
 */
export function documentSchemas(name: string, schema: object): Record<string, Json> {
  const given = schema as Json
  if (typeof given.$id === 'string') return { [name]: given }
  const definitions = definitionsOf(given)
  const names = new Map([...definitions.keys()].map((one) => [one, `${name}.${one.replace(/\W/g, '_')}`]))
  // Two whose names would become one, or a whole that is named in the middle: those stay where they are.
  const movable = new Set(names.values()).size === names.size
  const { $schema: _dialect, ...rest } = given
  if (!movable) return { [name]: moved(rest, name, new Map(), anchorsOf(given)) as Json }
  const { $defs: _definitions, ...whole } = rest
  const anchors = anchorsOf(given)
  const schemas: Record<string, Json> = { [name]: moved(whole, name, names, anchors) as Json }
  for (const [key, definition] of definitions)
    schemas[names.get(key)!] = asObject(moved(definition, name, names, anchors))
  return schemas
}

function definitionsOf({ $defs }: Json): Map<string, unknown> {
  return new Map(typeof $defs === 'object' && $defs !== null ? Object.entries($defs) : [])
}

/** `true` and `false` are schemas too, but not where a document names them. */
function asObject(schema: unknown): Json {
  if (schema === true) return {}
  return schema === false ? { not: {} } : (schema as Json)
}

/** What stands under these is data, in which "$ref" means nothing. */
const DATA: ReadonlySet<string> = new Set(['const', 'enum', 'default', 'examples'])
/** Under these, names are the schema's author's and not keywords. */
const NAMED: ReadonlySet<string> = new Set([
  'properties',
  'patternProperties',
  '$defs',
  'dependentSchemas',
  'definitions',
])

function moved(
  schema: unknown,
  name: string,
  names: ReadonlyMap<string, string>,
  anchors: ReadonlyMap<string, string>,
): unknown {
  return walk(schema)

  function walk(part: unknown): unknown {
    if (Array.isArray(part)) return part.map(walk)
    if (typeof part !== 'object' || part === null) return part
    return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, under(key, value)]))
  }

  function under(key: string, value: unknown): unknown {
    if (key === '$ref' && typeof value === 'string') return target(value)
    if (DATA.has(key)) return value
    if (!NAMED.has(key) || typeof value !== 'object' || value === null) return walk(value)
    return Object.fromEntries(Object.entries(value).map(([one, inner]) => [one, walk(inner)]))
  }

  function target(reference: string): string {
    if (!reference.startsWith('#')) return reference
    const pointer = anchors.get(reference.slice(1)) ?? reference.slice(1)
    const [, definition, deeper = ''] = /^\/\$defs\/([^/]+)(\/.*)?$/.exec(pointer) ?? []
    const known = definition === undefined ? undefined : names.get(unescapedStep(definition))
    return known === undefined ? `#/components/schemas/${name}${pointer}` : `#/components/schemas/${known}${deeper}`
  }
}

/** Where each `$anchor` stands, as a pointer into the schema. */
function anchorsOf(schema: unknown): Map<string, string> {
  const found = new Map<string, string>()
  look(schema, '')
  return found

  function look(part: unknown, pointer: string): void {
    if (typeof part !== 'object' || part === null) return
    for (const [key, value] of Object.entries(part)) {
      if (key === '$anchor' && typeof value === 'string') found.set(value, pointer)
      if (!DATA.has(key)) look(value, `${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`)
    }
  }
}

function unescapedStep(step: string): string {
  try {
    return decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~')
  } catch {
    return step
  }
}
