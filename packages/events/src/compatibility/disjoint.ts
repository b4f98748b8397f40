import { type Branch, branchesOf, type SchemaRoot, valuesOf } from './branches.ts'
import { lowerBound, upperBound } from './number-bounds.ts'
import { memberSchemas, requiredOf } from './object-rules.ts'

/** Whether no value of the branch meets the schema. False also where that cannot be told. */
export function isDisjoint(branch: Branch, schema: unknown, at: SchemaRoot, depth = 0): boolean {
  return branchesOf([schema], at).every((other) => areDisjoint(branch, other, depth))
}

const DEPTH_MAX = 3

function areDisjoint(one: Branch, other: Branch, depth: number): boolean {
  if (one.type !== other.type) return true
  const values = valuesOf(one)
  if (values !== null) return values.every((value) => isRefused(value, other))
  const others = valuesOf(other)
  if (others !== null) return others.every((value) => isRefused(value, one))
  if (one.type === 'number') return isBelow(one, other) || isBelow(other, one)
  return one.type === 'object' && depth < DEPTH_MAX && differInAMember(one, other, depth)
}

function isRefused(value: unknown, { parts, accepts }: Branch): boolean {
  return parts.some((part) => accepts(part, value) === false)
}

function isBelow(one: Branch, other: Branch): boolean {
  const [top, bottom] = [upperBound(one), lowerBound(other)]
  return top.value < bottom.value || (top.value === bottom.value && (top.isExclusive || bottom.isExclusive))
}

/** A member that one of them must have, and that cannot be both's. */
function differInAMember(one: Branch, other: Branch, depth: number): boolean {
  return [...requiredOf(one), ...requiredOf(other)].some((name) => {
    const [mine, theirs] = [memberSchemas(one, name, false), memberSchemas(other, name, false)]
    if (mine === null || theirs === null) return true
    return branchesOf(mine, one).every((branch) =>
      branchesOf(theirs, other).every((against) => areDisjoint(branch, against, depth + 1)),
    )
  })
}
