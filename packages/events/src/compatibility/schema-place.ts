import { isObject, type Json } from '../asyncapi/json.ts'

/** What `$ref` with a fragment leads to within `root`; undefined where it leads nowhere, or out of the document. */
export function resolveRef(root: unknown, ref: string): unknown {
  if (ref === '#') return root
  if (!ref.startsWith('#/')) return undefined
  let found: unknown = root
  for (const part of ref.slice(2).split('/')) {
    const name = unescaped(part).replaceAll('~1', '/').replaceAll('~0', '~')
    const held: unknown = Array.isArray(found) || isObject(found) ? (found as Json)[name] : undefined
    if (held === undefined || !Object.hasOwn(found as object, name)) return undefined
    found = held
  }
  return found
}

function unescaped(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

/**
 * Whether two schemas are the same to the letter, references followed and annotations left out. In `data` (enum, const)
 * nothing means anything but itself.
 */
export function isSameSchema(one: unknown, oneRoot: unknown, other: unknown, otherRoot: unknown): boolean {
  const seen: [unknown, unknown][] = []
  return same(one, other, false)

  /** `isMap`: its members are schemas by the names of properties. */
  function same(a: unknown, b: unknown, isMap: boolean): boolean {
    if (Array.isArray(a) && Array.isArray(b)) {
      return a.length === b.length && a.every((part, at) => same(part, b[at], false))
    }
    if (!isObject(a) || !isObject(b)) return a === b
    if (seen.some(([x, y]) => x === a && y === b)) return true
    seen.push([a, b])
    const names = [...new Set([...Object.keys(a), ...Object.keys(b)])]
    return names.every((name) => {
      if (!isMap && ANNOTATIONS.has(name)) return true
      if (!Object.hasOwn(a, name) || !Object.hasOwn(b, name)) return false
      if (isMap) return same(a[name], b[name], false)
      if (DATA.has(name)) return isSameData(a[name], b[name])
      if (name === '$ref') return sameTarget(a.$ref, b.$ref)
      return same(a[name], b[name], MAPS.has(name))
    })
  }

  function sameTarget(a: unknown, b: unknown): boolean {
    const [found, other] = [resolveRef(oneRoot, String(a)), resolveRef(otherRoot, String(b))]
    return found !== undefined && other !== undefined && same(found, other, false)
  }
}

/** JSON values, whatever the order of their members. */
export function isSameData(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((part, at) => isSameData(part, b[at]))
  }
  if (!isObject(a) || !isObject(b)) return a === b
  const names = Object.keys(a)
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => Object.hasOwn(b, name) && isSameData(a[name], b[name]))
  )
}

/** They say something to people, or hold what is said elsewhere. As names of properties they mean nothing of the kind. */
export const ANNOTATIONS: ReadonlySet<string> = new Set([
  'title',
  'description',
  '$comment',
  'default',
  'examples',
  'deprecated',
  'readOnly',
  'writeOnly',
  '$schema',
  '$defs',
  'definitions',
])
const DATA = new Set(['const', 'enum'])
const MAPS = new Set(['properties', 'patternProperties', 'dependentSchemas', 'dependentRequired', 'dependencies'])
