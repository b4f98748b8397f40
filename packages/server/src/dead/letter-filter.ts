import type { Letter } from './letter.ts'
import type { OffsetMarks } from './offset-marks.ts'
import { VERDICT_MARKS } from './scan.ts'
import type { Verdict } from './verdict.ts'

export type LetterState = 'open' | Verdict['kind']

/** What is left out does not matter. */
export interface LetterFilter {
  readonly queue?: string
  /** Error class. */
  readonly code?: string
  readonly key?: string
  readonly task?: string
  /** Given up on at or after; wall time, ms since 1970. */
  readonly sinceMs?: number
  /** Given up on before. */
  readonly untilMs?: number
  /** Default 'open'. */
  readonly state?: LetterState | 'any'
  /** Whatever else is asked of it; the last to be asked. */
  readonly where?: (letter: Letter) => boolean
}

export function stateOf(letter: Letter, marks: OffsetMarks | undefined): LetterState {
  const mark = marks?.get(letter.offset) ?? 0
  if (mark === VERDICT_MARKS.redriven) return 'redriven'
  return mark === VERDICT_MARKS.discarded ? 'discarded' : 'open'
}

/** All but the queue, which says what is read at all. */
export function matches(letter: Letter, state: LetterState, filter: LetterFilter): boolean {
  const wanted = filter.state ?? 'open'
  if (wanted !== 'any' && wanted !== state) return false
  if (filter.code !== undefined && filter.code !== letter.code) return false
  if (filter.key !== undefined && filter.key !== letter.key) return false
  if (filter.task !== undefined && filter.task !== letter.taskId) return false
  if (filter.sinceMs !== undefined && letter.atMs < filter.sinceMs) return false
  if (filter.untilMs !== undefined && letter.atMs >= filter.untilMs) return false
  return filter.where === undefined || filter.where(letter)
}
