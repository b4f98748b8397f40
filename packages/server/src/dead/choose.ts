import { type Letter, readLetter } from './letter.ts'
import { type LetterFilter, matches, stateOf } from './letter-filter.ts'
import { holds, type LetterPlace, letterNotFound } from './letter-place.ts'
import {
  type DeadPartition,
  deadPartitions,
  readPartition,
  readVerdicts,
  type ScannedQueue,
  type ScanParts,
} from './scan.ts'

/** Which letters something is done with; only open ones ever are. */
export type Choice =
  | { readonly by: 'filter'; readonly filter: Omit<LetterFilter, 'state'>; readonly limit: number | null }
  | { readonly by: 'place'; readonly places: readonly LetterPlace[] }

/** Letters that may be named one by one. */
export const PLACES_MAX = 1_000

export interface Chosen {
  readonly letter: Letter
  readonly queue: ScannedQueue
}

/**
 * Partition after partition, each in the order of the log, as far as it reached in the beginning: what dies meanwhile
 * is left alone. Throws DEAD_LETTER_NOT_FOUND for a place that holds none.
 */
export async function* chosenLetters(
  parts: ScanParts,
  choice: Choice,
  signal: AbortSignal,
): AsyncGenerator<Chosen, undefined> {
  const filter = choice.by === 'filter' ? choice.filter : {}
  const partitions =
    choice.by === 'filter' ? await deadPartitions(parts, filter.queue) : await named(parts, choice.places)
  const marks = await readVerdicts(parts, partitions, signal)
  let left = choice.by === 'filter' ? (choice.limit ?? Number.POSITIVE_INFINITY) : choice.places.length
  for (const partition of partitions) {
    if (left === 0) return
    const places = choice.by === 'place' ? offsetsIn(partition, choice.places) : null
    const from = places === null ? partition.start : Math.min(...places)
    for await (const records of readPartition(parts, partition, signal, from)) {
      for (const record of records) {
        if (places !== null && !places.delete(record.offset)) continue
        const letter = readLetter(record)
        if (letter === null) {
          if (places === null) continue
          throw letterNotFound({ queue: partition.queue.name, partition: partition.partition, offset: record.offset })
        }
        if (!matches(letter, stateOf(letter, marks.get(partition)), filter)) continue
        yield { letter, queue: partition.queue }
        if (--left === 0) return
      }
      if (places?.size === 0) break
    }
  }
}

/** Their partitions. Throws DEAD_LETTER_NOT_FOUND before anything is done with the others. */
async function named(parts: ScanParts, places: readonly LetterPlace[]): Promise<DeadPartition[]> {
  const wanted = new Set<DeadPartition>()
  const partitions = await deadPartitions(parts)
  for (const place of places) {
    const partition = partitions.find((one) => holds(one, place))
    if (partition === undefined) throw letterNotFound(place)
    wanted.add(partition)
  }
  return [...wanted]
}

function offsetsIn(partition: DeadPartition, places: readonly LetterPlace[]): Set<number> {
  return new Set(places.filter((place) => holds(partition, place)).map((place) => place.offset))
}
