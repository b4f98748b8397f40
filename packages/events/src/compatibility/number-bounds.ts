import type { Json } from '../asyncapi/json.ts'
import type { Branch } from './branches.ts'

export interface Bound {
  readonly value: number
  readonly isExclusive: boolean
}

/** The least that a number of a branch may be; for integers a whole number. */
export function lowerBound({ parts, isInteger }: Pick<Branch, 'parts' | 'isInteger'>): Bound {
  const bound = tightest(parts, 'minimum', 'exclusiveMinimum', (a, b) => a > b, -Infinity)
  if (!isInteger || !Number.isFinite(bound.value)) return bound
  const next = bound.isExclusive ? Math.floor(bound.value) + 1 : Math.ceil(bound.value)
  return { value: next, isExclusive: false }
}

export function upperBound({ parts, isInteger }: Pick<Branch, 'parts' | 'isInteger'>): Bound {
  const bound = tightest(parts, 'maximum', 'exclusiveMaximum', (a, b) => a < b, Infinity)
  if (!isInteger || !Number.isFinite(bound.value)) return bound
  const next = bound.isExclusive ? Math.ceil(bound.value) - 1 : Math.floor(bound.value)
  return { value: next, isExclusive: false }
}

/** The largest of what the parts ask for at least, or `none`. */
export function most(parts: readonly Json[], keyword: string, none = 0): number {
  return Math.max(none, ...numbers(parts, keyword))
}

/** The smallest of what they ask for at most. */
export function least(parts: readonly Json[], keyword: string): number {
  return Math.min(Infinity, ...numbers(parts, keyword))
}

function tightest(
  parts: readonly Json[],
  inclusive: string,
  exclusive: string,
  isTighter: (a: number, b: number) => boolean,
  none: number,
): Bound {
  let bound: Bound = { value: none, isExclusive: false }
  for (const value of numbers(parts, inclusive)) {
    if (isTighter(value, bound.value)) bound = { value, isExclusive: false }
  }
  for (const value of numbers(parts, exclusive)) {
    if (isTighter(value, bound.value) || value === bound.value) bound = { value, isExclusive: true }
  }
  return bound
}

function numbers(parts: readonly Json[], keyword: string): readonly number[] {
  return parts.map((part) => part[keyword]).filter((value) => typeof value === 'number')
}
