import { ForebayError } from '@forebay/protocol'
import { REDRIVE_RATE_MAX } from '@forebay/server/dead'

/** Throws BAD_REQUEST. */
export function checkRate(what: string, ratePerSecond: number): void {
  if (ratePerSecond >= RATE_MIN && ratePerSecond <= REDRIVE_RATE_MAX) return
  const fix = `use a number from ${RATE_MIN} to ${REDRIVE_RATE_MAX}`
  throw new ForebayError('BAD_REQUEST', `${what}: ratePerSecond: ${fix}, got ${ratePerSecond}.`)
}

const RATE_MIN = 0.1
