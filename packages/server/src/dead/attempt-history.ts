import type { AttemptRecord } from '../task.ts'

/** Of a long history the first few and the last many are kept: how it began, and how it went on until the end. */
export const HISTORY_FIRST_MAX = 5
export const HISTORY_LAST_MAX = 15
export const ATTEMPT_DETAIL_CHARS_MAX = 200
export const ATTEMPT_WORKER_CHARS_MAX = 100

/**
 * Adds a failed attempt; `history` is null before the first, so that tasks that succeed at once carry nothing. Returns
 * the list to keep, at most `HISTORY_FIRST_MAX + HISTORY_LAST_MAX` long: the numbers of the attempts tell of the gap.
 */
export function rememberAttempt(history: AttemptRecord[] | null, attempt: AttemptRecord): AttemptRecord[] {
  const { detail, worker } = attempt
  const kept = {
    ...attempt,
    detail: detail.slice(0, ATTEMPT_DETAIL_CHARS_MAX),
    worker: worker === null ? null : worker.slice(0, ATTEMPT_WORKER_CHARS_MAX),
  }
  if (history === null) return [kept]
  if (history.length >= HISTORY_FIRST_MAX + HISTORY_LAST_MAX) history.splice(HISTORY_FIRST_MAX, 1)
  history.push(kept)
  return history
}
