import { ForebayError } from '@forebay/protocol/errors'
import type { FromTime } from './broker.ts'

/** The time in whole ms; before 1970 is as good as 1970. Throws BAD_REQUEST when it is no time. */
export function timeMsOf({ timeMs }: FromTime): number {
  if (Number.isFinite(timeMs) && Math.abs(timeMs) <= Number.MAX_SAFE_INTEGER) return Math.max(0, Math.ceil(timeMs))
  throw new ForebayError('BAD_REQUEST', `from.timeMs: ${timeMs} is no time; give ms since 1970.`)
}
