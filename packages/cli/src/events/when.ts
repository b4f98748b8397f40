import { systemClock } from '@forebay/broker'
import { parseDuration, parseMoment } from '@forebay/server/configuration'
import { InvalidArgumentError } from 'commander'

export interface TimeMs {
  readonly timeMs: number
}

/** '2h' (ago) or '2026-11-21T08:00:00Z', for commander. */
export function readWhen(text: string): TimeMs {
  const agoMs = /^\d+$/.test(text) ? null : parseDuration(text)
  const timeMs = agoMs === null ? parseMoment(text) : systemClock.wallMs() - agoMs
  if (timeMs !== null) return { timeMs }
  throw new InvalidArgumentError('Write how long ago, as 90s or 2h, or a moment, as 2026-11-21T08:00:00Z.')
}

/** The same, or 'earliest'. */
export function readFrom(text: string): 'earliest' | TimeMs {
  return text === 'earliest' ? text : readWhen(text)
}

export function readCount(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('Write a whole number above 0.')
}

export function collect(value: string, earlier: readonly string[]): readonly string[] {
  return [...earlier, value]
}

export function readRate(text: string): number {
  if (/^\d{1,5}(\.\d{1,3})?$/.test(text) && Number(text) > 0) return Number(text)
  throw new InvalidArgumentError('Write a number above 0.')
}
