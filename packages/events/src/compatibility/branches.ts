import { isObject, type Json } from '../asyncapi/json.ts'
import { resolveRef } from './schema-place.ts'
import { type ValueCheck, valueCheck } from './value-check.ts'

/** A document that schemas stand in. */
export interface SchemaRoot {
  readonly root: unknown
  readonly accepts: ValueCheck
}

export type JsonType = 'null' | 'boolean' | 'number' | 'string' | 'array' | 'object'

/**
 * One way to meet a schema: a value of one type that meets every one of `parts`, which have no `$ref`, `allOf` or choice any
 * more. The branches of a schema together take at least what the schema takes, never less.
 */
export interface Branch extends SchemaRoot {
  readonly type: JsonType
  readonly isInteger: boolean
  readonly parts: readonly Json[]
  /** Choices that were taken apart, to be found again as they were. */
  readonly choices: readonly Json[]
  /** Whether something was left out of sight, so that the branch may take more than the schema does. */
  readonly isLoose: boolean
}

export function schemaRoot(root: unknown): SchemaRoot {
  return { root, accepts: valueCheck(root) }
}

/** Of values that meet all of `schemas`. */
export function branchesOf(schemas: readonly unknown[], at: SchemaRoot): readonly Branch[] {
  const ways = schemas.reduce<readonly Way[]>((made, schema) => product(made, waysOf(schema, at.root, [])), [NO_WORD])
  return ways.flatMap((way) => TYPES.flatMap((type) => ofType(way, type, at)))
}

export function typesOf(part: Json): ReadonlySet<string> | null {
  if (part.type === undefined) return null
  const types = new Set([part.type].flat() as string[])
  if (part.nullable === true) types.add('null')
  return types
}

/** Every value of a branch, where they can be counted; else null. */
export function valuesOf({ type, isInteger, parts, accepts }: Branch): readonly unknown[] | null {
  const candidates = type === 'null' ? [null] : type === 'boolean' ? [false, true] : namedValues(parts)
  if (candidates === null) return null
  return candidates.filter(
    (value) =>
      typeOf(value) === type &&
      !(isInteger && !Number.isInteger(value)) &&
      parts.every((part) => accepts(part, value) !== false),
  )
}

interface Way {
  readonly parts: readonly Json[]
  readonly choices: readonly Json[]
  readonly isLoose: boolean
}

const TYPES = ['null', 'boolean', 'number', 'string', 'array', 'object'] as const
/** Past that a choice is left out of sight. */
const WAYS_MAX = 200
const NO_WORD: Way = { parts: [], choices: [], isLoose: false }
const LOOSE: Way = { parts: [], choices: [], isLoose: true }
/** They only ever refuse values, and are not looked into. */
const UNSEEN = ['not', 'dependentSchemas', 'dependencies', 'unevaluatedProperties', 'unevaluatedItems', '$dynamicRef']

function waysOf(schema: unknown, root: unknown, refs: readonly string[]): readonly Way[] {
  if (schema === false) return []
  if (!isObject(schema)) return schema === true ? [NO_WORD] : [LOOSE]
  const { allOf, anyOf, oneOf, $ref, if: condition, then = true, else: otherwise = true } = schema
  const own = plainPart(schema)
  const isLoose = UNSEEN.some((keyword) => Object.hasOwn(own, keyword))
  let ways: readonly Way[] = [{ parts: [own], choices: [], isLoose }]
  if (typeof $ref === 'string') ways = product(ways, target($ref, root, refs))
  if (Array.isArray(allOf)) for (const one of allOf) ways = product(ways, waysOf(one, root, refs))
  if (Array.isArray(anyOf)) ways = choose(ways, anyOf, { anyOf })
  if (Array.isArray(oneOf)) ways = choose(ways, oneOf, { oneOf })
  if (condition !== undefined) {
    ways = choose(ways, [{ allOf: [condition, then] }, otherwise], { if: condition, then, else: otherwise })
  }
  return ways

  function choose(made: readonly Way[], options: readonly unknown[], choice: Json): readonly Way[] {
    const kept = made.map((way) => ({ ...way, choices: [...way.choices, choice] }))
    return product(
      kept,
      options.flatMap((option) => waysOf(option, root, refs)),
    )
  }
}

/** The same object each time, by which what was compiled of it is found again. */
function plainPart(schema: Json): Json {
  let part = PLAIN.get(schema)
  if (part === undefined) {
    part = Object.fromEntries(Object.entries(schema).filter(([keyword]) => !TAKEN_APART.has(keyword)))
    PLAIN.set(schema, part)
  }
  return part
}

const PLAIN = new WeakMap<Json, Json>()
const TAKEN_APART = new Set(['allOf', 'anyOf', 'oneOf', '$ref', 'if', 'then', 'else', '$defs', 'definitions'])

function target($ref: string, root: unknown, refs: readonly string[]): readonly Way[] {
  const found = resolveRef(root, $ref)
  if (found === undefined || refs.includes($ref)) return [LOOSE]
  return waysOf(found, root, [...refs, $ref])
}

function product(ones: readonly Way[], others: readonly Way[]): readonly Way[] {
  if (ones.length * others.length > WAYS_MAX) return ones.map((way) => ({ ...way, isLoose: true }))
  return ones.flatMap((one) =>
    others.map((other) => ({
      parts: [...one.parts, ...other.parts],
      choices: [...one.choices, ...other.choices],
      isLoose: one.isLoose || other.isLoose,
    })),
  )
}

function ofType(way: Way, type: JsonType, at: SchemaRoot): readonly Branch[] {
  let isInteger = false
  for (const part of way.parts) {
    const types = typesOf(part)
    if (types === null || types.has(type)) continue
    if (type !== 'number' || !types.has('integer')) return []
    isInteger = true
  }
  return [{ ...way, ...at, type, isInteger }]
}

function namedValues(parts: readonly Json[]): readonly unknown[] | null {
  let fewest: readonly unknown[] | null = null
  for (const part of parts) {
    const values = Object.hasOwn(part, 'const') ? [part.const] : Array.isArray(part.enum) ? part.enum : null
    if (values !== null && (fewest === null || values.length < fewest.length)) fewest = values
  }
  return fewest
}

function typeOf(value: unknown): JsonType {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  return typeof value as JsonType
}
