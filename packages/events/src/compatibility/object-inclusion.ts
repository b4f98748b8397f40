import type { Json } from '../asyncapi/json.ts'
import type { Branch } from './branches.ts'
import { least, most } from './number-bounds.ts'
import { mapOf, memberSchemas, namesOf, otherSchemas, patternSchemas, requiredOf, schemasFor } from './object-rules.ts'
import { broken, deeper, type Place, type Problem, undecided } from './place.ts'
import { isSameSchema } from './schema-place.ts'

export function objectProblems(reader: Json, branch: Branch, place: Place): readonly Problem[] {
  const { required = [], minProperties, maxProperties } = reader
  const always = requiredOf(branch)
  const found: Problem[] = (required as readonly string[])
    .filter((name) => !always.has(name))
    .map((name) => broken(deeper(place, name), branch, 'may be missing, and is required by the reader'))
  found.push(...memberProblems(reader, branch, place), ...nameProblems(reader, branch, place))
  found.push(...dependentProblems(reader, branch, place))
  if (typeof minProperties === 'number' && most(branch.parts, 'minProperties', always.size) < minProperties) {
    found.push(broken(place, branch, `may have fewer than ${minProperties} members`))
  }
  if (typeof maxProperties === 'number' && mostMembers(branch, place) > maxProperties) {
    found.push(broken(place, branch, `may have more than ${maxProperties} members`))
  }
  return found
}

function memberProblems(reader: Json, branch: Branch, place: Place): readonly Problem[] {
  const { additionalProperties = true } = reader
  const patterns = Object.keys(mapOf(reader.patternProperties))
  const names = new Set([...Object.keys(mapOf(reader.properties)), ...namesOf(branch)])
  const found: Problem[] = []
  for (const name of names) {
    const written = memberSchemas(branch, name, place.namedOnly)
    if (written === null) continue
    const isNamed = namesOf(branch).has(name)
    for (const schema of schemasFor(reader, name)) {
      const problems = place.included(schema, written, deeper(place, name))
      found.push(...(isNamed ? problems : unnamed(problems)))
    }
  }
  for (const pattern of patterns) {
    const written = patternSchemas(branch, pattern, place.namedOnly)
    if (written === null) continue
    found.push(...place.included(mapOf(reader.patternProperties)[pattern], written, deeper(place, pattern)))
  }
  if (additionalProperties !== true) {
    const written = otherSchemas(branch, patterns, place.namedOnly)
    if (written !== null) found.push(...place.included(additionalProperties, written, deeper(place, '*')))
  }
  return found
}

/** The writer lets any member pass under that name, though it names none: each way to be wrong is the same news. */
function unnamed([first]: readonly Problem[]): readonly Problem[] {
  if (first === undefined) return []
  return [{ ...first, message: 'is not named by the writer, whose schema lets anything pass as it' }]
}

function nameProblems({ propertyNames }: Json, branch: Branch, place: Place): readonly Problem[] {
  if (propertyNames === undefined || propertyNames === true) return []
  const kept = branch.parts.filter((part) => part.propertyNames !== undefined).map((part) => part.propertyNames)
  if (kept.some((one) => isSameSchema(one, branch.root, propertyNames, place.reader.root))) return []
  if (otherSchemas(branch, [], place.namedOnly) !== null) return [undecided(place, 'the rule for names changed')]
  const refused = [...namesOf(branch)].filter(
    (name) =>
      memberSchemas(branch, name, place.namedOnly) !== null && place.reader.accepts(propertyNames, name) !== true,
  )
  return refused.map((name) => broken(deeper(place, name), branch, 'has a name that would be refused'))
}

/** `dependencies` is the older word for both; JSON Schema still reads it. */
function dependentProblems(reader: Json, branch: Branch, place: Place): readonly Problem[] {
  const always = requiredOf(branch)
  const found: Problem[] = []
  for (const keyword of ['dependentRequired', 'dependentSchemas', 'dependencies']) {
    for (const [name, needs] of Object.entries(mapOf(reader[keyword]))) {
      const isKept = branch.parts.some((part) => {
        const rules = mapOf(part[keyword])
        return Object.hasOwn(rules, name) && isSameSchema(rules[name], branch.root, needs, place.reader.root)
      })
      if (isKept || memberSchemas(branch, name, place.namedOnly) === null) continue
      if (Array.isArray(needs)) {
        const missing = (needs as readonly string[]).filter((needed) => !always.has(needed))
        for (const needed of missing) {
          found.push(undecided(deeper(place, needed), `with ${name} it is required by the reader, and may be missing`))
        }
      } else {
        const problems = place.takes(needs, branch, place)
        found.push(...problems.map((problem) => ({ ...problem, isCertain: false })))
      }
    }
  }
  return found
}

function mostMembers(branch: Branch, { namedOnly }: Place): number {
  const named = [...namesOf(branch)].filter((name) => memberSchemas(branch, name, namedOnly) !== null).length
  const isClosed = otherSchemas(branch, [], namedOnly) === null
  return Math.min(least(branch.parts, 'maxProperties'), isClosed ? named : Infinity)
}
