import { ForebayError } from '@forebay/protocol'

/** What one query may take; given values are kept within `LIMITS_MAX`. */
export interface QueryLimits {
  /** From the call to the last row. Default 30 s, at most 10 min. ms */
  readonly timeoutMs?: number
  /** Rows that come back; what lies beyond is cut off, and said. Default 10,000, at most 1,000,000. */
  readonly rowsMax?: number
  /** Default 512 MiB, at most 4 GiB. */
  readonly memoryBytes?: number
  /** Default 2, at most 16. */
  readonly threads?: number
  /** Only rows whose time is at or after this; whole files are passed over. ms since 1970 */
  readonly sinceMs?: number
}

type ResolvedLimits = Required<Omit<QueryLimits, 'sinceMs'>> & Pick<QueryLimits, 'sinceMs'>

export const LIMITS_DEFAULT = { timeoutMs: 30_000, rowsMax: 10_000, memoryBytes: 512 * 1024 * 1024, threads: 2 }
export const LIMITS_MAX = { timeoutMs: 600_000, rowsMax: 1_000_000, memoryBytes: 4 * 1024 ** 3, threads: 16 }

/** Throws BAD_REQUEST. */
export function resolveLimits(given: QueryLimits): ResolvedLimits {
  const resolved = { ...LIMITS_DEFAULT, ...given }
  for (const name of ['timeoutMs', 'rowsMax', 'memoryBytes', 'threads'] as const) {
    const value = resolved[name]
    if (!Number.isSafeInteger(value) || value < 1 || value > LIMITS_MAX[name]) {
      const message = `${TITLES[name]} is ${value}: it must be a whole number from 1 to ${LIMITS_MAX[name]}.`
      throw new ForebayError('BAD_REQUEST', message, { members: { field: name } })
    }
  }
  return resolved
}

/** As a request names it, and as the command does. */
const TITLES = {
  timeoutMs: 'timeoutMs (--timeout, in ms)',
  rowsMax: 'rowsMax (--limit)',
  memoryBytes: 'memoryBytes',
  threads: 'threads',
}
