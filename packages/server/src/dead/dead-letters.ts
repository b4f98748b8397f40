import { type Letter, readLetter } from './letter.ts'
import { type LetterFilter, type LetterState, matches, stateOf } from './letter-filter.ts'
import { holds, type LetterPlace, letterNotFound } from './letter-place.ts'
import { Newest } from './newest.ts'
import { deadPartitions, readAll, readPartition, readVerdicts, type ScanParts } from './scan.ts'
import { readVerdict, type Verdict } from './verdict.ts'

/**
 * What operators see of dead letters. The dead topics are the only place where they are kept, so each question reads
 * them from the start: twice where it matters which letters are open, as their verdicts stand behind them. Memory
 * holds what is answered, and two bits for each letter.
 */
export interface DeadLetters {
  /** Newest first. */
  list(filter: LetterFilter, limit: number, signal: AbortSignal): Promise<LetterList>
  histogram(filter: LetterFilter & { readonly sinceMs: number }, signal: AbortSignal): Promise<LetterHistogram>
  /** Throws DEAD_LETTER_NOT_FOUND. */
  find(place: LetterPlace, signal: AbortSignal): Promise<LetterFound>
  /** Verdicts, newest first. */
  audit(filter: VerdictFilter, limit: number, signal: AbortSignal): Promise<readonly (Verdict & { queue: string })[]>
}

/** Without the record: many are kept. */
export interface LetterSummary extends Omit<Letter, 'record'> {
  readonly state: LetterState
}

export interface LetterList {
  readonly letters: readonly LetterSummary[]
  /** How many match, listed or not. */
  readonly total: number
}

export interface LetterHistogram {
  /** How many of each code died in each hour; keys are the hour's begin in ms since 1970. */
  readonly hours: ReadonlyMap<number, ReadonlyMap<string, number>>
  readonly total: number
  /** Matching ones from before the time that was asked for. */
  readonly earlier: number
}

export interface LetterFound {
  readonly letter: Letter
  readonly state: LetterState
  readonly verdicts: readonly Verdict[]
}

export interface VerdictFilter {
  readonly queue?: string
  readonly task?: string
  readonly by?: string
  readonly kind?: Verdict['kind']
  readonly sinceMs?: number
  readonly untilMs?: number
}

export const HOUR_MS = 3_600_000
const DETAIL_LISTED_CHARS = 200
const VERDICTS_SHOWN_MAX = 100

export function createDeadLetters(parts: ScanParts): DeadLetters {
  return {
    async list(filter, limit, signal) {
      const newest = new Newest<LetterSummary>(limit, (letter) => letter.atMs)
      let total = 0
      await eachLetter(parts, filter, signal, (letter, state) => {
        total++
        if (newest.wants(letter.atMs)) newest.add(summaryOf(letter, state))
      })
      return { letters: newest.get(), total }
    },

    async histogram({ sinceMs, ...filter }, signal) {
      const hours = new Map<number, Map<string, number>>()
      let total = 0
      let earlier = 0
      await eachLetter(parts, filter, signal, ({ atMs, code }) => {
        if (atMs < sinceMs) {
          earlier++
          return
        }
        total++
        const hour = Math.floor(atMs / HOUR_MS) * HOUR_MS
        let counts = hours.get(hour)
        if (counts === undefined) {
          counts = new Map()
          hours.set(hour, counts)
        }
        counts.set(code, (counts.get(code) ?? 0) + 1)
      })
      return { hours, total, earlier }
    },

    find: (place, signal) => findLetter(parts, place, signal),

    async audit(filter, limit, signal) {
      const newest = new Newest<Verdict & { queue: string }>(limit, (verdict) => verdict.atMs)
      const partitions = await deadPartitions(parts, filter.queue)
      await readAll(parts, partitions, signal, (record, { queue }) => {
        const verdict = readVerdict(record)
        if (verdict === null || !newest.wants(verdict.atMs) || !isAsked(verdict, filter)) return
        newest.add({ ...verdict, queue: queue.name })
      })
      return newest.get()
    },
  }
}

/** Every letter that matches, of several partitions at once. */
export async function eachLetter(
  parts: ScanParts,
  filter: LetterFilter,
  signal: AbortSignal,
  visit: (letter: Letter, state: LetterState) => void,
): Promise<void> {
  const partitions = await deadPartitions(parts, filter.queue)
  const marks = await readVerdicts(parts, partitions, signal)
  await readAll(parts, partitions, signal, (record, partition) => {
    const letter = readLetter(record)
    if (letter === null) return
    const state = stateOf(letter, marks.get(partition))
    if (matches(letter, state, filter)) visit(letter, state)
  })
}

/** Reads from the letter on to the end of its partition, where verdicts may stand. */
export async function findLetter(parts: ScanParts, place: LetterPlace, signal: AbortSignal): Promise<LetterFound> {
  const partition = (await deadPartitions(parts, place.queue)).find((one) => holds(one, place))
  if (partition === undefined) throw letterNotFound(place)
  let letter: Letter | null = null
  const verdicts: Verdict[] = []
  for await (const records of readPartition(parts, partition, signal, place.offset)) {
    for (const record of records) {
      if (letter === null) {
        letter = record.offset === place.offset ? readLetter(record) : null
        if (letter === null) throw letterNotFound(place)
        continue
      }
      const verdict = readVerdict(record)
      if (verdict?.letterOffset === place.offset && verdicts.length < VERDICTS_SHOWN_MAX) verdicts.push(verdict)
    }
  }
  if (letter === null) throw letterNotFound(place)
  return { letter, state: verdicts[0]?.kind ?? 'open', verdicts }
}

function isAsked(verdict: Verdict, filter: VerdictFilter): boolean {
  if (filter.task !== undefined && filter.task !== verdict.taskId) return false
  if (filter.by !== undefined && filter.by !== verdict.by) return false
  if (filter.kind !== undefined && filter.kind !== verdict.kind) return false
  if (filter.sinceMs !== undefined && verdict.atMs < filter.sinceMs) return false
  return filter.untilMs === undefined || verdict.atMs < filter.untilMs
}

function summaryOf({ record: _, detail, ...facts }: Letter, state: LetterState): LetterSummary {
  return { ...facts, detail: detail.slice(0, DETAIL_LISTED_CHARS), state }
}
