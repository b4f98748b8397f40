import { isObject, type Json } from '../asyncapi/json.ts'
import { arrayProblems } from './array-inclusion.ts'
import { type Branch, branchesOf, type SchemaRoot, typesOf, valuesOf } from './branches.ts'
import { isDisjoint } from './disjoint.ts'
import { objectProblems } from './object-inclusion.ts'
import { broken, type Place, type Problem, undecided } from './place.ts'
import { numberProblems, stringProblems } from './scalar-inclusion.ts'
import { isSameData, isSameSchema, resolveRef } from './schema-place.ts'

export interface InclusionOptions {
  /**
   * Writers send no members that their schema does not name, though it would let any pass; a schema that says
   * `additionalProperties` or names nothing is taken by its word. Default false.
   */
  readonly namedOnly?: boolean
}

/**
 * Whether every value that meets the writer's schema meets the reader's: no problem, then it is so. Both are JSON Schema
 * 2020-12. What cannot be decided is a problem.
 */
export function inclusionProblems(
  reader: { readonly schema: unknown; readonly root: SchemaRoot },
  writer: { readonly schema: unknown; readonly root: SchemaRoot },
  { namedOnly = false }: InclusionOptions = {},
): readonly Problem[] {
  if ([reader.schema, writer.schema].some((schema) => leadsElsewhere(schema))) {
    if (isSameData(reader.schema, writer.schema) && isSameData(reader.root.root, writer.root.root)) return []
    return [{ path: '', message: `cannot be decided: a schema has one of ${ELSEWHERE.join(', ')}`, isCertain: false }]
  }
  for (const { schema, root } of [reader, writer]) {
    if (root.accepts(schema, null) !== null) continue
    return [{ path: '', message: 'one of the schemas cannot be used as JSON Schema 2020-12', isCertain: false }]
  }
  const start = { reader: reader.root, writer: writer.root, path: '', namedOnly, depth: 0, met: [] }
  const place = { ...start, budget: { steps: STEPS_MAX }, included, takes }
  const problems = included(reader.schema, [writer.schema], place)
  return [...new Map(problems.map((problem) => [`${problem.path} ${problem.message}`, problem])).values()]
}

const STEPS_MAX = 20_000
const DEPTH_MAX = 40

function included(reader: unknown, writers: readonly unknown[], place: Place): readonly Problem[] {
  if (reader === true) return []
  if (writers.some((writer) => isSameSchema(writer, place.writer.root, reader, place.reader.root))) return []
  const before = place.met.find((one) => one.reader === reader && isSameList(one.writers, writers))
  // Data ends somewhere: what is asked again one step further in holds if it holds everywhere else.
  if (before !== undefined && before.depth < place.depth) return []
  const here = { ...place, met: [...place.met, { reader, writers, depth: place.depth }] }
  return branchesOf(writers, place.writer).flatMap((branch) => takes(reader, branch, here))
}

/** Every keyword of the reader's in turn: all have to hold. */
function takes(reader: unknown, branch: Branch, place: Place): readonly Problem[] {
  if (reader === true) return []
  place.budget.steps -= 1
  if (place.budget.steps < 0 || place.met.length > DEPTH_MAX) return [undecided(place, 'the schemas are too deep')]
  const values = valuesOf(branch)
  if (values !== null) return valueProblems(reader, values, branch, place)
  if (reader === false) return [broken(place, branch, 'nothing is allowed here by the reader')]
  if (!isObject(reader)) return [undecided(place, 'this is no schema')]
  const unseen = NOT_UNDERSTOOD.filter((keyword) => Object.hasOwn(reader, keyword))
  if (unseen.length > 0) return [undecided(place, `${unseen.join(', ')} changed, or stands beside what changed`)]
  if (branch.parts.some((part) => isSameSchema(part, branch.root, reader, place.reader.root))) return []
  const found = [...choiceProblems(reader, branch, place), ...typeProblems(reader, branch, place)]
  if (branch.type === 'number') found.push(...numberProblems(reader, branch, place))
  if (branch.type === 'string') found.push(...stringProblems(reader, branch, place))
  if (branch.type === 'array') found.push(...arrayProblems(reader, branch, place))
  if (branch.type === 'object') found.push(...objectProblems(reader, branch, place))
  return found
}

/** What they refuse depends on what stands beside them. */
const NOT_UNDERSTOOD = ['unevaluatedProperties', 'unevaluatedItems']
/** They make references mean something else. */
const ELSEWHERE = ['$dynamicRef', '$dynamicAnchor', '$recursiveRef', '$anchor', '$id']

function leadsElsewhere(schema: unknown, isTop = true): boolean {
  if (Array.isArray(schema)) return schema.some((one) => leadsElsewhere(one, false))
  if (!isObject(schema)) return false
  return Object.entries(schema).some(
    ([name, value]) =>
      (typeof value === 'string' && ELSEWHERE.includes(name) && !(isTop && name === '$id')) ||
      leadsElsewhere(value, false),
  )
}

function valueProblems(reader: unknown, values: readonly unknown[], branch: Branch, place: Place): readonly Problem[] {
  const refused: unknown[] = []
  for (const value of values) {
    const isAccepted = place.reader.accepts(reader, value)
    if (isAccepted === null) return [undecided(place, 'the schema cannot be compiled on its own')]
    if (!isAccepted) refused.push(value)
  }
  if (refused.length === 0) return []
  const shown = refused.slice(0, VALUES_SHOWN_MAX).map((value) => JSON.stringify(value))
  return [broken(place, branch, `${shown.join(', ')}${refused.length > shown.length ? ', …' : ''} would be refused`)]
}

const VALUES_SHOWN_MAX = 5

function typeProblems(reader: Json, branch: Branch, place: Place): readonly Problem[] {
  const types = typesOf(reader)
  if (types !== null && !types.has(branch.type)) {
    const isWhole = branch.type === 'number' && types.has('integer')
    if (isWhole && isIntegral(branch)) return []
    const written = isWhole ? 'a number with a fraction' : branch.type
    return [broken(place, branch, `may be ${written}, where ${[...types].join(' or ')} is read`)]
  }
  if (reader.enum !== undefined || Object.hasOwn(reader, 'const')) {
    const values = Object.hasOwn(reader, 'const') ? [reader.const] : (reader.enum as readonly unknown[])
    return [broken(place, branch, `may be any ${branch.type}, where only ${values.length} values are read`)]
  }
  return []
}

function choiceProblems(reader: Json, branch: Branch, place: Place): readonly Problem[] {
  const found: Problem[] = []
  if (typeof reader.$ref === 'string') {
    const target = resolveRef(place.reader.root, reader.$ref)
    if (target === undefined) found.push(undecided(place, `${reader.$ref} leads out of the schema`))
    else found.push(...takes(target, branch, { ...place, met: [...place.met, refTo(target, place)] }))
  }
  for (const one of listOf(reader.allOf)) found.push(...takes(one, branch, place))
  if (reader.anyOf !== undefined && !isKept({ anyOf: reader.anyOf }, branch, place)) {
    found.push(...anyProblems(listOf(reader.anyOf), branch, place).problems)
  }
  if (reader.oneOf !== undefined && !isKept({ oneOf: reader.oneOf }, branch, place)) {
    found.push(...oneProblems(listOf(reader.oneOf), branch, place))
  }
  if (reader.not !== undefined && !isKept({ not: reader.not }, branch, place)) {
    if (!isDisjoint(branch, reader.not, place.reader)) found.push(undecided(place, 'what is ruled out (not) changed'))
  }
  if (reader.if !== undefined) found.push(...conditionProblems(reader, branch, place))
  return found
}

function anyProblems(options: readonly unknown[], branch: Branch, place: Place) {
  let nearest: readonly Problem[] | null = null
  for (const [taker, option] of options.entries()) {
    const problems = takes(option, branch, place)
    if (problems.length === 0) return { taker, problems: [] }
    if (nearest === null || problems.length < nearest.length) nearest = problems
  }
  if (options.every((option) => isDisjoint(branch, option, place.reader))) {
    return { taker: -1, problems: [broken(place, branch, `may be ${nameOf(branch)}, which no choice takes`)] }
  }
  const why = nearest === null ? '' : `; of the nearest: ${nearest[0]!.path} ${nearest[0]!.message}`
  return { taker: -1, problems: [undecided(place, `no single choice takes every ${nameOf(branch)}${why}`)] }
}

function oneProblems(options: readonly unknown[], branch: Branch, place: Place): readonly Problem[] {
  const { taker, problems } = anyProblems(options, branch, place)
  if (taker < 0) return problems
  const isAlone = options.every((option, index) => index === taker || isDisjoint(branch, option, place.reader))
  return isAlone ? [] : [undecided(place, 'more than one choice (oneOf) may take it')]
}

function conditionProblems(reader: Json, branch: Branch, place: Place): readonly Problem[] {
  const { if: condition, then = true, else: otherwise = true } = reader
  if (isKept({ if: condition, then, else: otherwise }, branch, place)) return []
  const whenMet = () => takes(then, branch, place)
  const whenNot = () => takes(otherwise, branch, place)
  if (isDisjoint(branch, condition, place.reader)) return whenNot()
  if (takes(condition, branch, place).length === 0) return whenMet()
  return [...whenMet(), ...whenNot()].map((problem) => ({ ...problem, isCertain: false }))
}

/** A group of keywords that the writer has to the letter. */
function isKept(group: Json, { choices, parts, root }: Branch, place: Place): boolean {
  const [keyword] = Object.keys(group)
  const kept = [...choices, ...parts.map((part) => ({ [keyword!]: part[keyword!] }))]
  return kept.some((one) => isSameSchema(one, root, group, place.reader.root))
}

/** Counts towards the depth, and is the same as no pair. */
function refTo(reader: unknown, { depth }: Place) {
  return { reader, writers: [], depth }
}

function isIntegral({ isInteger, parts }: Branch): boolean {
  return isInteger || parts.some((part) => Number.isInteger(part.multipleOf))
}

function nameOf({ type, isInteger }: Branch): string {
  return isInteger ? 'integer' : type
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

function isSameList(one: readonly unknown[], other: readonly unknown[]): boolean {
  return one.length === other.length && one.every((part, index) => part === other[index])
}
