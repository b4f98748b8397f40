import type { Clock } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import { parseDuration } from '../options/duration.ts'
import { PRIORITY_DEFAULT, PRIORITY_MAX } from '../task.ts'
import { parseMoment } from './moment.ts'
import type { RequestFields } from './request-fields.ts'
import { AT_ONCE, checkTiming, type Timing, type TimingNames } from './timing.ts'

export interface TimingRules {
  readonly delays: boolean
  readonly retentionMs: number
  readonly clock: Clock
}

/** Forebay-Delay, Forebay-Not-Before and Forebay-Deadline. Throws BAD_HEADER, DELAY_UNAVAILABLE. */
export function readTiming(fields: RequestFields, { delays, retentionMs, clock }: TimingRules): Timing {
  const { delay, notBefore, deadline } = fields
  if (delay === undefined && notBefore === undefined && deadline === undefined) return AT_ONCE
  const asked = {
    delayMs: delay === undefined ? undefined : readTime(HEADERS.delay, delay),
    notBeforeMs: notBefore === undefined ? undefined : readMoment(notBefore),
    deadlineMs: deadline === undefined ? undefined : readTime(HEADERS.deadline, deadline),
  }
  return checkTiming(asked, { delays, retentionMs, nowMs: clock.wallMs() }, HEADERS)
}

/** Forebay-Priority. Throws BAD_HEADER. */
export function readPriority(text: string | undefined): number {
  if (text === undefined) return PRIORITY_DEFAULT
  if (/^\d$/.test(text)) return Number(text)
  throw badValue('Forebay-Priority', text, `is not a whole number from 0 to ${PRIORITY_MAX}`)
}

const HEADERS: TimingNames = {
  delay: 'Forebay-Delay',
  notBefore: 'Forebay-Not-Before',
  deadline: 'Forebay-Deadline',
  refuse: (header, message) => new ForebayError('BAD_HEADER', message, { members: { header } }),
}

/** '30s', '10m', or plain seconds. */
function readTime(header: string, text: string): number {
  const ms = /^\d+(?:\.\d+)?$/.test(text) ? Math.round(Number(text) * 1_000) : parseDuration(text)
  if (ms !== null && Number.isSafeInteger(ms)) return ms
  throw badValue(header, text, 'is not a time from now; send one like 30s or 10m')
}

function readMoment(text: string): number {
  const ms = parseMoment(text)
  if (ms !== null) return ms
  const fix = 'is not a moment; send one like 2026-05-01T08:30:00Z or Fri, 01 May 2026 08:30:00 GMT'
  throw badValue(HEADERS.notBefore, text, fix)
}

function badValue(header: string, text: string, what: string): ForebayError {
  const shown = text.replace(/[^\x20-\x7e]/g, '?').slice(0, 64)
  return new ForebayError('BAD_HEADER', `${header}: ${shown} ${what}.`, { members: { header, value: shown } })
}
