import { Generation } from './generation.ts'
import type { SavedGeneration } from './positions.ts'
import { type Sibling, siblingsOf } from './siblings.ts'

export interface FoundGenerations {
  /** Oldest first. */
  readonly generations: Generation[]
  /** Files that were not read to their end and are not there any more. */
  readonly gone: readonly SavedGeneration[]
}

/** The files of the last run, wherever they were rotated to. */
export async function findGenerations(
  path: string,
  saved: readonly SavedGeneration[],
  nowMs: number,
): Promise<FoundGenerations> {
  const generations: Generation[] = []
  const gone: SavedGeneration[] = []
  const siblings = await siblingsOf(path)
  const places = [path, ...siblings.map((one) => one.path)]
  for (const one of saved) {
    if (one.done) continue
    const generation = await firstOf(places, (place) => Generation.resume(place, one, nowMs))
    if (generation === null) gone.push(one)
    else generations.push(generation)
  }
  return { generations, gone }
}

export interface UnknownSearch {
  readonly path: string
  /** Files beside the path that are older are of no interest; null: all of them. */
  readonly writtenAfterMs: number | null
  /** Inodes of open files. */
  readonly known: readonly string[]
  readonly done: readonly SavedGeneration[]
  readonly begin: (path: string) => Promise<Generation | null>
  readonly nowMs: number
}

/** Files that nobody has read yet: those that came and were rotated away unseen, oldest first, and the one at the path. */
export async function unknownGenerations(search: UnknownSearch): Promise<Generation[]> {
  const { path, writtenAfterMs, known, begin } = search
  const unseen: Sibling[] = []
  if (writtenAfterMs !== null) {
    for (const sibling of await siblingsOf(path)) {
      if (sibling.packed || sibling.modifiedMs < writtenAfterMs - CLOCK_GRAIN_MS || known.includes(sibling.inode))
        continue
      if (!(await isDone(sibling, search))) unseen.push(sibling)
    }
  }
  const places = [...unseen.map((one) => one.path), path]
  const begun = await Promise.all(places.map(begin))
  const found = begun.filter((one) => one !== null)
  // It may have been rotated between two looks: by one name or the other it is one file.
  const isNew = (one: Generation, index: number) =>
    !known.includes(one.inode) && found.findIndex((other) => other.inode === one.inode) === index
  const kept = found.filter(isNew)
  await Promise.all(found.filter((one) => !kept.includes(one)).map((one) => one.close()))
  return kept
}

async function isDone({ path, inode }: Sibling, { done, nowMs }: UnknownSearch): Promise<boolean> {
  for (const one of done) {
    if (one.inode !== inode || one.headBytes === 0) continue
    const known = await Generation.resume(path, one, nowMs)
    if (known === null) continue
    await known.close()
    return true
  }
  return false
}

async function firstOf<Found>(
  places: readonly string[],
  look: (place: string) => Promise<Found | null>,
): Promise<Found | null> {
  for (const place of places) {
    const found = await look(place)
    if (found !== null) return found
  }
  return null
}

/** Times of files come from a coarser clock than ours. */
const CLOCK_GRAIN_MS = 50
