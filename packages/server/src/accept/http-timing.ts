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

/** Forebay-Delay, Forebay-Not-Before and Forebay-Deadline. Throws what `names.refuse` makes of a fault, DELAY_UNAVAILABLE. */
export function readTiming(
  fields: Pick<RequestFields, 'delay' | 'notBefore' | 'deadline'>,
  { delays, retentionMs, clock }: TimingRules,
  names: TimingNames = HEADERS,
): Timing {
  const { delay, notBefore, deadline } = fields
  if (delay === undefined && notBefore === undefined && deadline === undefined) return AT_ONCE
  const asked = {
    delayMs: delay === undefined ? undefined : readTime(names, names.delay, delay),
    notBeforeMs: notBefore === undefined ? undefined : readMoment(names, notBefore),
    deadlineMs: deadline === undefined ? undefined : readTime(names, names.deadline, deadline),
  }
  return checkTiming(asked, { delays, retentionMs, nowMs: clock.wallMs() }, names)
}

/** Forebay-Priority. Throws BAD_HEADER. */
export function readPriority(text: string | undefined): number {
  if (text === undefined) return PRIORITY_DEFAULT
  if (/^\d$/.test(text)) return Number(text)
  throw badValue(HEADERS, 'Forebay-Priority', text, `is not a whole number from 0 to ${PRIORITY_MAX}`)
}

const HEADERS: TimingNames = {
  delay: 'Forebay-Delay',
  notBefore: 'Forebay-Not-Before',
  deadline: 'Forebay-Deadline',
  refuse: (header, message, value) =>
    new ForebayError('BAD_HEADER', message, { members: value === undefined ? { header } : { header, value } }),
}

/** '30s', '10m', or plain seconds. */
function readTime(names: TimingNames, name: string, text: string): number {
  const ms = /^\d+(?:\.\d+)?$/.test(text) ? Math.round(Number(text) * 1_000) : parseDuration(text)
  if (ms !== null && Number.isSafeInteger(ms)) return ms
  throw badValue(names, name, text, 'is not a time from now; send one like 30s or 10m')
}

function readMoment(names: TimingNames, text: string): number {
  const ms = parseMoment(text)
  if (ms !== null) return ms
  const fix = 'is not a moment; send one like 2026-05-01T08:30:00Z or Fri, 01 May 2026 08:30:00 GMT'
  throw badValue(names, names.notBefore, text, fix)
}

function badValue(names: TimingNames, name: string, text: string, what: string): ForebayError {
  const shown = text.replace(/[^\x20-\x7e]/g, '?').slice(0, 64)
  return names.refuse(name, `${name}: ${shown} ${what}.`, shown)
}
