import type { Json } from '../asyncapi/json.ts'
import type { Branch } from './branches.ts'
import { least, most } from './number-bounds.ts'
import { broken, deeper, type Place, type Problem, undecided } from './place.ts'
import { isSameSchema } from './schema-place.ts'

export function arrayProblems(reader: Json, branch: Branch, place: Place): readonly Problem[] {
  const { minItems, maxItems, uniqueItems } = reader
  const itemsMax = mostItems(branch)
  const found: Problem[] = [
    ...itemProblems(reader, branch, itemsMax, place),
    ...containsProblems(reader, branch, place),
  ]
  if (typeof minItems === 'number' && most(branch.parts, 'minItems') < minItems) {
    found.push(broken(place, branch, `may have fewer than ${minItems} items`))
  }
  if (typeof maxItems === 'number' && itemsMax > maxItems) {
    found.push(broken(place, branch, `may have more than ${maxItems} items`))
  }
  if (uniqueItems === true && itemsMax > 1 && !branch.parts.some((part) => part.uniqueItems === true)) {
    found.push(broken(place, branch, 'may have an item twice'))
  }
  return found
}

function itemProblems(reader: Json, branch: Branch, itemsMax: number, place: Place): readonly Problem[] {
  const named = prefixOf(reader)
  const rest = reader.items ?? true
  const places = Math.min(itemsMax, Math.max(named.length, ...branch.parts.map((part) => prefixOf(part).length)))
  const found: Problem[] = []
  for (let index = 0; index < places; index++) {
    const read = index < named.length ? named[index] : rest
    found.push(...place.included(read, itemSchemas(branch, index), deeper(place, String(index))))
  }
  if (itemsMax > places) found.push(...place.included(rest, itemSchemas(branch, Infinity), deeper(place, '*')))
  return found
}

function containsProblems(reader: Json, { parts, root }: Branch, place: Place): readonly Problem[] {
  if (reader.contains === undefined) return []
  const isKept = parts.some(
    (part) =>
      part.minContains === reader.minContains &&
      part.maxContains === reader.maxContains &&
      part.contains !== undefined &&
      isSameSchema(part.contains, root, reader.contains, place.reader.root),
  )
  if (isKept || (reader.minContains === 0 && reader.maxContains === undefined)) return []
  return [undecided(place, 'what the list has to contain changed')]
}

function mostItems({ parts }: Branch): number {
  const closed = parts.filter((part) => part.items === false).map((part) => prefixOf(part).length)
  return Math.min(least(parts, 'maxItems'), ...closed)
}

function itemSchemas({ parts }: Branch, index: number): readonly unknown[] {
  return parts.flatMap((part) => {
    const named = prefixOf(part)
    if (index < named.length) return [named[index]]
    return part.items === undefined ? [] : [part.items]
  })
}

function prefixOf({ prefixItems }: Json): readonly unknown[] {
  return Array.isArray(prefixItems) ? prefixItems : []
}
