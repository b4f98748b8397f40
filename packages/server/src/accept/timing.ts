import { ForebayError } from '@forebay/protocol'

/** When a task may begin and must have ended, as its caller asked. */
export interface Timing {
  /** From acceptance, ms; 0 begins at once. */
  readonly delayMs: number
  /** The same as a moment, ms since 1970, instead of a delay: how long that is shows at the acceptance. */
  readonly notBeforeMs: number | null
  /** From acceptance to the end, ms; null: the queue's own, counted from the end of the delay. */
  readonly budgetMs: number | null
}

export const AT_ONCE: Timing = { delayMs: 0, notBeforeMs: null, budgetMs: null }

/** Longest delay. ms */
export const DELAY_MAX_MS = 365 * 86_400_000

/** What a caller named, read and not yet checked against each other; undefined where it named nothing. */
export interface AskedTiming {
  readonly delayMs: number | undefined
  readonly notBeforeMs: number | undefined
  readonly deadlineMs: number | undefined
}

/** What the door's protocol calls the three fields, and the error for one that is wrong. */
export interface TimingNames {
  readonly delay: string
  readonly notBefore: string
  readonly deadline: string
  /** `value`: what stood there, where that is known. */
  refuse(field: string, message: string, value?: string): ForebayError
}

export interface TimingLimits {
  /** Whether there is a place where delayed tasks can wait. */
  readonly delays: boolean
  readonly retentionMs: number
  readonly nowMs: number
}

/** Throws what `names.refuse` makes of a contradiction or of what goes too far, DELAY_UNAVAILABLE. */
export function checkTiming(
  { delayMs, notBeforeMs, deadlineMs }: AskedTiming,
  limits: TimingLimits,
  names: TimingNames,
): Timing {
  if (delayMs !== undefined && notBeforeMs !== undefined) {
    throw names.refuse(
      names.notBefore,
      `${names.delay} and ${names.notBefore} say the same in two ways; send one of them.`,
    )
  }
  const timing = { delayMs: delayMs ?? 0, notBeforeMs: notBeforeMs ?? null, budgetMs: deadlineMs ?? null }
  const delay = delayAt(timing, limits.nowMs)
  const asked = notBeforeMs === undefined ? names.delay : names.notBefore
  if (delay > DELAY_MAX_MS) {
    throw names.refuse(asked, `${asked} is further away than ${DELAY_MAX_MS / 86_400_000} days from now.`)
  }
  if (delay > 0 && !limits.delays) throw delaysUnavailable()
  const budgetMaxMs = delay + limits.retentionMs
  if (deadlineMs !== undefined && (deadlineMs <= 0 || deadlineMs > budgetMaxMs)) {
    throw names.refuse(
      names.deadline,
      `${names.deadline} must be more than 0 and at most ${budgetMaxMs / 1_000} s from now.`,
    )
  }
  if (deadlineMs !== undefined && deadlineMs <= delay) {
    throw names.refuse(
      names.deadline,
      `${names.deadline} (${deadlineMs / 1_000} s) counts from now as well, so it must be longer than ${asked} (${delay / 1_000} s).`,
    )
  }
  return timing
}

/** What is left of the delay at a moment. ms */
export function delayAt({ delayMs, notBeforeMs }: Timing, nowMs: number): number {
  return notBeforeMs === null ? delayMs : Math.max(0, notBeforeMs - nowMs)
}

function delaysUnavailable(): ForebayError {
  return new ForebayError(
    'DELAY_UNAVAILABLE',
    'A delayed task waits in a store that all dispatchers share, and this server has none; configure "store: postgres://…" or use the embedded broker.',
  )
}
