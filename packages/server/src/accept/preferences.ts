import { ForebayError } from '@forebay/protocol'

/** What a Prefer header asks of us; all else in it is left alone, as RFC 7240 wants. */
export interface Preferences {
  /** Null when the caller asked for none. Cut to the server's longest wait. ms */
  readonly waitMs: number | null
  readonly respondAsync: boolean
}

export const NO_PREFERENCES: Preferences = { waitMs: null, respondAsync: false }

/** Throws BAD_HEADER for a wait that is no number of seconds ≥ 0. The first of several waits counts. */
export function readPreferences(header: string | undefined, waitMaxMs: number): Preferences {
  if (header === undefined) return NO_PREFERENCES
  let waitMs: number | null = null
  let respondAsync = false
  for (const part of header.split(',')) {
    const [, name, quoted, bare] = PREFERENCE.exec(part) ?? []
    if (name === undefined) continue
    const lower = name.toLowerCase()
    if (lower === 'respond-async') respondAsync = true
    else if (lower === 'wait' && waitMs === null) waitMs = readWait(quoted ?? bare ?? '', waitMaxMs)
  }
  return { waitMs, respondAsync }
}

/** The value of Preference-Applied for a wait that was kept to. */
export function appliedWait(waitMs: number): string {
  return `wait=${waitMs / 1_000}`
}

function readWait(text: string, waitMaxMs: number): number {
  if (!SECONDS.test(text)) {
    const shown = text.replace(/[^\x20-\x7e]/g, '?').slice(0, 32)
    throw new ForebayError(
      'BAD_HEADER',
      `Prefer: wait=${shown} is not a number of seconds; send one from 0 to ${waitMaxMs / 1_000}, like wait=5.`,
      { members: { header: 'Prefer', value: `wait=${shown}` } },
    )
  }
  return Math.min(Math.round(Number(text) * 1_000), waitMaxMs)
}

/** `name`, `name=token` or `name="text"`, then parameters that mean nothing to us. */
const PREFERENCE = /^\s*([\w!#$%&'*+.^`|~-]+)(?:\s*=\s*(?:"([^"]*)"|([^\s;"]*)))?\s*(?:;.*)?$/
const SECONDS = /^\d+(?:\.\d+)?(?:e\+?\d+)?$/i
