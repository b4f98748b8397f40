import { ForebayError } from '@forebay/protocol'
import { parseMoment } from '../accept/moment.ts'
import { nearestName } from '../nearest-name.ts'
import { parseDuration } from '../options/duration.ts'
import { type Choice, PLACES_MAX } from './choose.ts'
import type { VerdictFilter } from './dead-letters.ts'
import type { LetterFilter, LetterState } from './letter-filter.ts'
import { type LetterPlace, parsePlace } from './letter-place.ts'
import { REDRIVE_RATE_DEFAULT, REDRIVE_RATE_MAX } from './redrive.ts'
import { REASON_CHARS_MAX, type VerdictKind } from './verdict.ts'

export const LIST_DEFAULT = 50
export const LIST_MAX = 1_000

/** What operators asked for, checked: each fault names the field, the value and what would do. */
export type Fields = Readonly<Record<string, unknown>>

export interface RunRequest {
  readonly choice: Choice
  readonly reason: string
  readonly dryRun: boolean
}

export interface RedriveRunRequest extends RunRequest {
  readonly ratePerS: number
  readonly force: boolean
}

export function readListRequest(query: URLSearchParams, nowMs: number): { filter: LetterFilter; limit: number } {
  const fields = fieldsOf(query, [...FILTER_FIELDS, 'state', 'limit'])
  return { filter: { ...readFilter(fields, nowMs), ...readState(fields) }, limit: readLimit(fields) }
}

export function readHistogramRequest(query: URLSearchParams, nowMs: number): LetterFilter & { sinceMs: number } {
  const fields = fieldsOf(query, [...FILTER_FIELDS, 'state'])
  return { sinceMs: nowMs - HISTOGRAM_MS_DEFAULT, ...readFilter(fields, nowMs), ...readState(fields) }
}

export function readAuditRequest(query: URLSearchParams, nowMs: number): { filter: VerdictFilter; limit: number } {
  const fields = fieldsOf(query, ['queue', 'task', 'by', 'verdict', 'since', 'until', 'limit'])
  const { queue, task, sinceMs, untilMs } = readFilter(fields, nowMs)
  const by = text(fields, 'by')
  const kind = oneOf<VerdictKind>(fields, 'verdict', ['redriven', 'discarded'])
  const filter = { queue, task, sinceMs, untilMs, by, kind }
  return { filter: given(filter), limit: readLimit(fields) }
}

export function readDiscardRequest(body: Uint8Array, nowMs: number): RunRequest {
  return readRun(jsonFields(body, RUN_FIELDS), nowMs)
}

export function readRedriveRequest(body: Uint8Array, nowMs: number): RedriveRunRequest {
  const fields = jsonFields(body, [...RUN_FIELDS, 'rate', 'force'])
  const ratePerS = number(fields, 'rate', 0.1, REDRIVE_RATE_MAX) ?? REDRIVE_RATE_DEFAULT
  return { ...readRun(fields, nowMs), ratePerS, force: flag(fields, 'force') }
}

/** Of a redrive with another body: that is the request's own. */
export function readEditRequest(query: URLSearchParams): { reason: string; force: boolean } {
  const fields = fieldsOf(query, ['reason', 'force'])
  return { reason: readReason(fields), force: flag(fields, 'force') }
}

const FILTER_FIELDS = ['queue', 'code', 'key', 'task', 'since', 'until']
const RUN_FIELDS = [...FILTER_FIELDS, 'letters', 'limit', 'all', 'reason', 'dryRun']
const HISTOGRAM_MS_DEFAULT = 7 * 86_400_000
const FIELD_CHARS_MAX = 1_024

function readRun(fields: Fields, nowMs: number): RunRequest {
  return { choice: readChoice(fields, nowMs), reason: readReason(fields), dryRun: flag(fields, 'dryRun') }
}

/** "Everything" has to be said: an empty body is more often a mistake. */
function readChoice(fields: Fields, nowMs: number): Choice {
  const places = readPlaces(fields)
  const chosen = FILTER_FIELDS.filter((name) => fields[name] !== undefined)
  if (places !== null) {
    if (chosen.length > 0) throw bad('letters', `cannot go with ${chosen[0]}: name letters, or say which`)
    return { by: 'place', places }
  }
  if (chosen.length === 0 && !flag(fields, 'all')) {
    throw bad(
      'letters',
      'is missing: name letters, or say which by queue, code, key, task, since, until, or "all": true',
    )
  }
  const limit = number(fields, 'limit', 1, Number.MAX_SAFE_INTEGER)
  return { by: 'filter', filter: readFilter(fields, nowMs), limit: limit === undefined ? null : Math.floor(limit) }
}

function readPlaces(fields: Fields): LetterPlace[] | null {
  const { letters } = fields
  if (letters === undefined) return null
  if (!Array.isArray(letters) || letters.length === 0 || letters.length > PLACES_MAX) {
    throw bad('letters', `must be a list of 1 to ${PLACES_MAX} names of letters`)
  }
  return letters.map((one: unknown) => {
    const place = typeof one === 'string' ? parsePlace(one) : null
    if (place === null) throw bad('letters', `has ${shown(one)}; a letter's name is like "orders/3/17"`)
    return place
  })
}

function readFilter(fields: Fields, nowMs: number) {
  return given({
    queue: text(fields, 'queue'),
    code: text(fields, 'code'),
    key: text(fields, 'key'),
    task: text(fields, 'task'),
    sinceMs: moment(fields, 'since', nowMs),
    untilMs: moment(fields, 'until', nowMs),
  })
}

function readState(fields: Fields): Pick<LetterFilter, 'state'> {
  return given({ state: oneOf<LetterState | 'any'>(fields, 'state', ['open', 'redriven', 'discarded', 'any']) })
}

function readLimit(fields: Fields): number {
  return Math.floor(number(fields, 'limit', 1, LIST_MAX) ?? LIST_DEFAULT)
}

function readReason(fields: Fields): string {
  const reason = text(fields, 'reason') ?? ''
  if (reason.length > REASON_CHARS_MAX) throw bad('reason', `is longer than ${REASON_CHARS_MAX} characters`)
  return reason
}

function fieldsOf(query: URLSearchParams, known: readonly string[]): Fields {
  const fields: Record<string, unknown> = Object.create(null)
  for (const [name, value] of query) {
    checkName(name, known)
    if (fields[name] !== undefined) throw bad(name, 'came twice')
    fields[name] = value
  }
  return fields
}

function jsonFields(body: Uint8Array, known: readonly string[]): Fields {
  let value: unknown
  try {
    value = body.length === 0 ? {} : JSON.parse(Buffer.from(body).toString())
  } catch (cause) {
    throw new ForebayError('MALFORMED_JSON', 'The body is no JSON; send an object.', { cause })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ForebayError('BAD_REQUEST', 'The body must be a JSON object.')
  }
  for (const name of Object.keys(value)) checkName(name, known)
  return value as Fields
}

function checkName(name: string, known: readonly string[]): void {
  if (known.includes(name)) return
  const nearest = nearestName(name, known)
  const hint = nearest === null ? `${known.join(', ')} are` : `did you mean ${nearest}?`
  throw bad(name.replace(/[^\x20-\x7e]/g, '?').slice(0, 64), `is not known; ${hint}`)
}

function text(fields: Fields, name: string): string | undefined {
  const value = fields[name]
  if (value === undefined) return undefined
  if (typeof value !== 'string' || value.length > FIELD_CHARS_MAX) {
    throw bad(name, `is ${shown(value)}; it must be a text of at most ${FIELD_CHARS_MAX} characters`)
  }
  return value
}

/** '2026-11-21T08:00:00Z', or how long ago: '2h'. Wall time in ms since 1970. */
function moment(fields: Fields, name: string, nowMs: number): number | undefined {
  const value = text(fields, name)
  if (value === undefined) return undefined
  const agoMs = parseDuration(value)
  const ms = agoMs !== null ? nowMs - agoMs : parseMoment(DAY.test(value) ? `${value}T00:00:00Z` : value)
  if (ms === null) throw bad(name, `is ${shown(value)}; write a moment (2026-11-21T08:00:00Z) or how long ago (2h)`)
  return ms
}

const DAY = /^\d{4}-\d\d-\d\d$/

function number(fields: Fields, name: string, min: number, max: number): number | undefined {
  const value = fields[name]
  if (value === undefined) return undefined
  const parsed = typeof value === 'string' && /^\d{1,15}(\.\d+)?$/.test(value) ? Number(value) : value
  if (typeof parsed === 'number' && parsed >= min && parsed <= max) return parsed
  throw bad(name, `is ${shown(value)}; it must be a number from ${min} to ${max}`)
}

function flag(fields: Fields, name: string): boolean {
  const value = fields[name] ?? false
  if (value === true || value === 'true') return true
  if (value === false || value === 'false') return false
  throw bad(name, `is ${shown(value)}; it must be true or false`)
}

function oneOf<T extends string>(fields: Fields, name: string, known: readonly T[]): T | undefined {
  const value = fields[name]
  if (value === undefined) return undefined
  const found = known.find((one) => one === value)
  if (found === undefined) throw bad(name, `is ${shown(value)}; it must be one of ${known.join(', ')}`)
  return found
}

function bad(field: string, what: string): ForebayError {
  return new ForebayError('BAD_REQUEST', `The request's ${field} ${what}.`, { members: { field } })
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? 'nothing').replace(/[^\x20-\x7e]/g, '?').slice(0, 64)
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> }

/** Without what is not there. */
function given<T extends object>(fields: T): Given<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Given<T>
}
