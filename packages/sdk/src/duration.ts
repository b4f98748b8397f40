import { ForebayError } from '@forebay/protocol/errors'

/** Milliseconds, or a number with a unit: '500ms', '10s', '5m', '2h', '1d'. */
export type Duration = number | string

/** Throws a ForebayError BAD_REQUEST that names `field` and the value. */
export function durationMs(given: Duration, field: string): number {
  const ms = typeof given === 'number' ? given : parse(given)
  if (Number.isFinite(ms) && ms >= 0) return ms
  throw new ForebayError(
    'BAD_REQUEST',
    `${field}: ${JSON.stringify(given) ?? String(given)} is not a duration. Use milliseconds or a number with a unit: '500ms', '10s', '5m', '2h', '1d'.`,
    { members: { field } },
  )
}

function parse(text: string): number {
  const match = DURATION.exec(text)
  if (match === null) return Number.NaN
  return Number(match[1]) * UNITS_MS[match[2] as keyof typeof UNITS_MS]
}

const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/
const UNITS_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
