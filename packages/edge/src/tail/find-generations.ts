import type { Followed } from './followed.ts'
import { Generation } from './generation.ts'
import { isPackedFormOf, PackedGeneration } from './packed-generation.ts'
import type { SavedGeneration } from './positions.ts'
import { type Sibling, siblingsOf } from './siblings.ts'

export interface FoundGenerations {
  /** Oldest first. */
  readonly generations: Followed[]
  /** Files that were not read to their end and are not there any more. */
  readonly gone: readonly SavedGeneration[]
}

/** The files of the last run, wherever they were rotated to. */
export async function findGenerations(
  path: string,
  saved: readonly SavedGeneration[],
  nowMs: number,
): Promise<FoundGenerations> {
  const generations: Followed[] = []
  const gone: SavedGeneration[] = []
  for (const one of saved) {
    if (one.done) continue
    const generation = await find(path, one, nowMs)
    if (generation === null) gone.push(one)
    else generations.push(generation)
  }
  return { generations, gone }
}

/** Somebody may be renaming just now: what is not there is looked for again. */
async function find(path: string, saved: SavedGeneration, nowMs: number): Promise<Followed | null> {
  for (let look = 0; look < LOOKS_MAX; look++) {
    const siblings = await siblingsOf(path)
    for (const place of [path, ...siblings.map((one) => one.path)]) {
      const found = await Generation.resume(place, saved, nowMs)
      if (found !== null) return found
    }
    for (const { path: place, packing } of siblings) {
      const found = packing === null ? null : await PackedGeneration.resume(place, saved, nowMs)
      if (found !== null) return found
    }
  }
  return null
}

export interface UnknownSearch {
  readonly path: string
  /** Files beside the path that are older are of no interest; null: all of them. */
  readonly writtenAfterMs: number | null
  /** Inodes of open files. */
  readonly known: readonly string[]
  readonly done: readonly SavedGeneration[]
  /** Files of the last run, to know their archives by; null: archives are of no interest, since open files are read whatever becomes of them. */
  readonly packed: { readonly known: readonly SavedGeneration[] } | null
  readonly begin: (path: string) => Promise<Followed | null>
  readonly nowMs: number
}

/**
 * Files that nobody has read yet: those that came and were rotated away unseen, oldest first, and the one at the path. Somebody
 * may be renaming just now, so the one at the path is opened first, and a file that is not where it was listed means another look.
 */
export async function unknownGenerations(search: UnknownSearch): Promise<Followed[]> {
  for (let look = 1; ; look++) {
    const current = await search.begin(search.path)
    const unseen = await unseenSiblings(search, current?.inode ?? null)
    const begun = await Promise.all(unseen.map(({ path }) => search.begin(path)))
    const found = [...begun, current].filter((one) => one !== null)
    const isWhole = begun.every((one, index) => one?.inode === unseen[index]!.inode)
    const kept = isWhole || look === LOOKS_MAX ? found.filter(({ inode }) => !search.known.includes(inode)) : []
    await Promise.all(found.filter((one) => !kept.includes(one)).map((one) => one.close()))
    if (isWhole || look === LOOKS_MAX) return kept
  }
}

async function unseenSiblings(search: UnknownSearch, current: string | null): Promise<Sibling[]> {
  const { path, writtenAfterMs, known } = search
  if (writtenAfterMs === null) return []
  const unseen: Sibling[] = []
  const siblings = await siblingsOf(path)
  for (const sibling of siblings) {
    const { inode, modifiedMs, packing } = sibling
    if (modifiedMs < writtenAfterMs - CLOCK_GRAIN_MS || inode === current || known.includes(inode)) continue
    const isUnseen = packing === null ? !(await isDone(sibling, search)) : await isNewArchive(sibling, siblings, search)
    if (isUnseen) unseen.push(sibling)
  }
  return unseen
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

/** Not one whose plain form is still there: somebody is just packing it. */
async function isNewArchive({ path, packing }: Sibling, siblings: readonly Sibling[], { packed }: UnknownSearch) {
  if (packed === null || packing === 'other') return false
  const plain = path.slice(0, path.lastIndexOf('.'))
  if (siblings.some((one) => one.path === plain)) return false
  return !(await isPackedFormOf(path, packed.known))
}

/** Times of files come from a coarser clock than ours. */
const CLOCK_GRAIN_MS = 50
const LOOKS_MAX = 5
