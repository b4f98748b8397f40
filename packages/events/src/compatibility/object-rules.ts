import { isObject, type Json } from '../asyncapi/json.ts'
import type { Branch } from './branches.ts'

/** What a branch of objects says of its members: never less than it takes. */

export function requiredOf({ parts }: Branch): ReadonlySet<string> {
  return new Set(parts.flatMap((part) => (Array.isArray(part.required) ? (part.required as string[]) : [])))
}

/** Every name that has a schema of its own. */
export function namesOf({ parts }: Pick<Branch, 'parts'>): ReadonlySet<string> {
  return new Set(parts.flatMap((part) => Object.keys(mapOf(part.properties))))
}

/**
 * Schemas that a member of that name meets, all of them; null where there can be none. `namedOnly`: a name that the schema
 * does not mention does not come, unless it says that any may.
 */
export function memberSchemas(branch: Branch, name: string, namedOnly: boolean): readonly unknown[] | null {
  const { parts } = branch
  if (namedOnly && isClosedByNames(branch) && !parts.some((part) => isNamedBy(part, name))) return null
  return unlessForbidden(parts.flatMap((part) => schemasFor(part, name)))
}

/** The same of names that no `properties` mention, and that match none of `patterns`. */
export function otherSchemas(
  branch: Branch,
  patterns: readonly string[],
  namedOnly: boolean,
): readonly unknown[] | null {
  const isClosed = namedOnly && isClosedByNames(branch)
  if (isClosed && !branch.parts.some((part) => Object.keys(mapOf(part.patternProperties)).length > 0)) return null
  return unlessForbidden(branch.parts.flatMap((part) => schemasOfOthers(part, patterns)))
}

/** The same of names that no `properties` mention, and that match `pattern`. */
export function patternSchemas(branch: Branch, pattern: string, namedOnly: boolean): readonly unknown[] | null {
  if (namedOnly && isClosedByNames(branch) && !branch.parts.some((part) => mentions(part, pattern))) return null
  return unlessForbidden(
    branch.parts.flatMap((part) =>
      mentions(part, pattern) ? [mapOf(part.patternProperties)[pattern]] : schemasOfOthers(part, []),
    ),
  )
}

/** By one part alone: those of its own properties and patterns, else that of additional ones. */
export function schemasFor(part: Json, name: string): readonly unknown[] {
  const properties = mapOf(part.properties)
  const found = Object.hasOwn(properties, name) ? [properties[name]] : []
  for (const [pattern, schema] of Object.entries(mapOf(part.patternProperties))) {
    if (new RegExp(pattern, 'u').test(name)) found.push(schema)
  }
  if (found.length > 0) return found
  return part.additionalProperties === undefined ? [] : [part.additionalProperties]
}

export function mapOf(value: unknown): Json {
  return isObject(value) ? value : {}
}

/** It names members, and nothing in it says what others there may be. */
function isClosedByNames({ parts, isLoose }: Branch): boolean {
  return (
    !isLoose &&
    parts.some((part) => isObject(part.properties)) &&
    parts.every((part) => part.additionalProperties === undefined)
  )
}

function isNamedBy(part: Json, name: string): boolean {
  return schemasFor(part, name).length > 0
}

function mentions(part: Json, pattern: string): boolean {
  return Object.hasOwn(mapOf(part.patternProperties), pattern)
}

/** Of names with a pattern one of them holds, or that of additional ones. */
function schemasOfOthers(part: Json, without: readonly string[]): readonly unknown[] {
  const { additionalProperties: additional = true } = part
  const patterns = Object.entries(mapOf(part.patternProperties)).filter(([pattern]) => !without.includes(pattern))
  if (patterns.length === 0) return additional === true ? [] : [additional]
  return [{ anyOf: [...patterns.map(([, schema]) => schema), additional] }]
}

function unlessForbidden(schemas: readonly unknown[]): readonly unknown[] | null {
  return schemas.includes(false) ? null : schemas
}
