import type { Json } from '../asyncapi/json.ts'
import type { Branch } from './branches.ts'
import { least, lowerBound, most, upperBound } from './number-bounds.ts'
import { broken, type Place, type Problem } from './place.ts'

export function numberProblems(reader: Json, branch: Branch, place: Place): readonly Problem[] {
  const found: Problem[] = []
  const [low, high] = [lowerBound(branch), upperBound(branch)]
  const says = (message: string) => found.push(broken(place, branch, message))
  const { minimum, exclusiveMinimum, maximum, exclusiveMaximum, multipleOf } = reader
  if (typeof minimum === 'number' && low.value < minimum) says(`may be below the minimum, ${minimum}`)
  if (typeof exclusiveMinimum === 'number' && !(low.value > exclusiveMinimum || isAt(low, exclusiveMinimum))) {
    says(`may not be above ${exclusiveMinimum}`)
  }
  if (typeof maximum === 'number' && high.value > maximum) says(`may be above the maximum, ${maximum}`)
  if (typeof exclusiveMaximum === 'number' && !(high.value < exclusiveMaximum || isAt(high, exclusiveMaximum))) {
    says(`may not be below ${exclusiveMaximum}`)
  }
  if (typeof multipleOf === 'number' && !branch.parts.some((part) => isMultiple(part.multipleOf, multipleOf))) {
    says(`may be no multiple of ${multipleOf}`)
  }
  return [...found, ...formatProblems(reader, branch, place)]
}

export function stringProblems(reader: Json, branch: Branch, place: Place): readonly Problem[] {
  const found: Problem[] = []
  const { minLength, maxLength, pattern } = reader
  if (typeof minLength === 'number' && most(branch.parts, 'minLength') < minLength) {
    found.push(broken(place, branch, `may be shorter than ${minLength} characters`))
  }
  if (typeof maxLength === 'number' && least(branch.parts, 'maxLength') > maxLength) {
    found.push(broken(place, branch, `may be longer than ${maxLength} characters`))
  }
  if (pattern !== undefined && !branch.parts.some((part) => part.pattern === pattern)) {
    const others = branch.parts.filter((part) => part.pattern !== undefined)
    const problem = broken(place, branch, `may not match the pattern ${JSON.stringify(pattern)}`)
    found.push({ ...problem, isCertain: problem.isCertain && others.length === 0 })
  }
  return [...found, ...formatProblems(reader, branch, place)]
}

function formatProblems({ format }: Json, branch: Branch, place: Place): readonly Problem[] {
  if (format === undefined || branch.parts.some((part) => part.format === format)) return []
  const isOther = branch.parts.some((part) => part.format !== undefined || part.pattern !== undefined)
  const problem = broken(place, branch, `may not be of the format ${JSON.stringify(format)}`)
  return [{ ...problem, isCertain: problem.isCertain && !isOther }]
}

function isAt(bound: { readonly value: number; readonly isExclusive: boolean }, value: number): boolean {
  return bound.value === value && bound.isExclusive
}

/** Fractions are not calculated with: only what is the same is a multiple. */
function isMultiple(written: unknown, read: number): boolean {
  if (written === read) return true
  return Number.isInteger(written) && Number.isInteger(read) && (written as number) % read === 0
}
