import { ForebayError } from '@forebay/protocol'
import { parseJson } from '../accept/json-body.ts'
import { parseMoment } from '../accept/moment.ts'
import { nearestName } from '../nearest-name.ts'
import { parseDuration } from '../options/duration.ts'
import {
  CALLBACKS_LISTED_DEFAULT,
  CALLBACKS_LISTED_MAX,
  type CallbackFilter,
  type CallbackState,
} from '../store/callbacks.ts'
import { CALLBACK_URL_CHARACTERS_MAX } from './callback-url.ts'

/** What operators asked for, checked: each fault names the field, the value and what would do. */

export function readListRequest(query: URLSearchParams, nowMs: number): CallbackFilter {
  const fields: Record<string, unknown> = Object.create(null)
  for (const [name, value] of query) {
    if (fields[name] !== undefined) throw bad(name, 'came twice')
    fields[name] = value
  }
  checkNames(fields, FILTER_FIELDS)
  return readFilter(fields, CALLBACKS_LISTED_DEFAULT, nowMs)
}

/** By id or task whatever its state; by the rest those that were given up, unless `state` says otherwise. */
export function readReplayRequest(body: Uint8Array, nowMs: number): CallbackFilter {
  const fields = jsonFields(body, [...FILTER_FIELDS, 'all'])
  const all = fields.all ?? false
  if (typeof all !== 'boolean') throw bad('all', 'must be true or false')
  const names = NARROWING.filter((name) => fields[name] !== undefined)
  if (names.length === 0 && !all) {
    throw bad('id', `is missing: name a callback, or say which by ${NARROWING.slice(1).join(', ')}, or "all": true`)
  }
  const filter = readFilter(fields, CALLBACKS_LISTED_MAX, nowMs)
  const anyState = filter.id !== undefined || filter.taskId !== undefined
  return anyState ? filter : { state: 'given-up', ...filter }
}

export function readEnableRequest(body: Uint8Array): { readonly owner: string; readonly url: string } {
  const fields = jsonFields(body, ['owner', 'url'])
  const owner = text(fields, 'owner')
  const url = text(fields, 'url')
  if (owner === undefined) throw bad('owner', 'is missing: name whose callbacks they are')
  if (url === undefined) throw bad('url', 'is missing: name the URL that answered 410')
  return { owner, url }
}

const NARROWING = ['id', 'task', 'owner', 'queue', 'url', 'state', 'since'] as const
const FILTER_FIELDS: readonly string[] = [...NARROWING, 'limit']
const STATES: readonly CallbackState[] = ['waiting', 'due', 'delivered', 'given-up', 'disabled']

type Fields = Readonly<Record<string, unknown>>

function readFilter(fields: Fields, countDefault: number, nowMs: number): CallbackFilter {
  const filter = {
    id: text(fields, 'id'),
    taskId: text(fields, 'task'),
    owner: text(fields, 'owner'),
    queue: text(fields, 'queue'),
    url: text(fields, 'url'),
    state: state(fields),
    sinceMs: moment(fields, nowMs),
    countMax: count(fields) ?? countDefault,
  }
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined))
}

function jsonFields(body: Uint8Array, known: readonly string[]): Fields {
  const value = body.length === 0 ? {} : parseJson(body)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ForebayError('BAD_REQUEST', 'The body must be a JSON object.')
  }
  checkNames(value as Fields, known)
  return value as Fields
}

function checkNames(fields: Fields, known: readonly string[]): void {
  const stranger = Object.keys(fields).find((name) => !known.includes(name))
  if (stranger === undefined) return
  const nearest = nearestName(stranger, known)
  const hint = nearest === null ? `${known.join(', ')} are` : `did you mean ${nearest}?`
  throw bad(printable(stranger), `is not known; ${hint}`)
}

function text(fields: Fields, name: string): string | undefined {
  const value = fields[name]
  if (value === undefined) return undefined
  if (typeof value === 'string' && value !== '' && value.length <= CALLBACK_URL_CHARACTERS_MAX) return value
  throw bad(name, `must be a text of 1 to ${CALLBACK_URL_CHARACTERS_MAX} characters`)
}

function state(fields: Fields): CallbackState | undefined {
  const value = text(fields, 'state')
  if (value === undefined) return undefined
  const found = STATES.find((one) => one === value)
  if (found === undefined) throw bad('state', `is "${printable(value)}"; it must be one of ${STATES.join(', ')}`)
  return found
}

/** '2026-11-21T08:00:00Z', or how long ago: '2h'. Wall time in ms since 1970. */
function moment(fields: Fields, nowMs: number): number | undefined {
  const value = text(fields, 'since')
  if (value === undefined) return undefined
  const agoMs = parseDuration(value)
  const ms = agoMs === null ? parseMoment(value) : nowMs - agoMs
  if (ms !== null) return ms
  throw bad('since', `is "${printable(value)}"; write a moment (2026-11-21T08:00:00Z) or how long ago (2h)`)
}

function count(fields: Fields): number | undefined {
  const value = fields.limit
  if (value === undefined) return undefined
  const parsed = typeof value === 'string' && /^\d{1,4}$/.test(value) ? Number(value) : value
  if (typeof parsed === 'number' && Number.isInteger(parsed) && parsed >= 1 && parsed <= CALLBACKS_LISTED_MAX)
    return parsed
  throw bad('limit', `must be a whole number from 1 to ${CALLBACKS_LISTED_MAX}`)
}

function bad(field: string, what: string): ForebayError {
  return new ForebayError('BAD_REQUEST', `The request's ${field} ${what}.`, { members: { field } })
}

function printable(value: string): string {
  return value.replace(/[^\x20-\x7e]/g, '?').slice(0, 64)
}
