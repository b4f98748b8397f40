import type { EdgeOptions, StoreOptions } from '../options.ts'
import { type Field, leaf, object, type Place, quote } from './field.ts'
import { integer } from './scalar-fields.ts'

export type StoreChoice =
  | { readonly kind: 'embedded' }
  /** The addresses may hold a password. */
  | { readonly kind: 'postgres'; readonly url: string }
  | { readonly kind: 'redis'; readonly url: string }

type LogStoreChoice = EdgeOptions['logs']['store']

export const storeField: Field<string, StoreChoice> = leaf<string, StoreChoice>({
  about:
    "Where results are kept for reading. 'embedded': a file in `data` of each process that plays gateway. " +
    'postgres://USER:PASSWORD@HOST:PORT/DATABASE: common to all processes, with parked tasks. ' +
    'redis://USER:PASSWORD@HOST:PORT/NUMBER: common to all, without parked tasks. ' +
    'With a password better given as FOREBAY_STORE, or in a file as FOREBAY_STORE_FILE.',
  schema: { anyOf: [{ const: 'embedded' }, { type: 'string', pattern: '^(postgres|postgresql|redis|rediss)://' }] },
  absent: { kind: 'embedded' },
  written: 'embedded',
  parse(given, place) {
    if (given === 'embedded') return { kind: 'embedded' }
    const url = typeof given === 'string' ? given.trim() : ''
    if (/^postgres(ql)?:\/\//.test(url)) return postgresAddress(url, place)
    if (/^rediss?:\/\//.test(url)) return redisAddress(url, place)
    const fix = 'Write embedded, postgres://user@host/database or redis://host.'
    place.refuse(hidden(given), `There is no store ${quote(hidden(given))}.`, fix)
  },
})

export const logStoreField: Field<string, LogStoreChoice> = leaf<string, LogStoreChoice>({
  about:
    'local: this process keeps one, where it has role logs. auto: so it does where it collects and the log is embedded. ' +
    'postgres://USER:PASSWORD@HOST:PORT/DATABASE: tables that every process with role logs writes and asks. none: no store. ' +
    'With a password better given as FOREBAY_EDGE_LOGS_STORE, or in a file as FOREBAY_EDGE_LOGS_STORE_FILE.',
  schema: { anyOf: [{ enum: ['auto', 'local', 'none'] }, { type: 'string', pattern: '^(postgres|postgresql)://' }] },
  absent: 'auto',
  written: 'auto',
  parse(given, place) {
    if (given === 'auto' || given === 'local' || given === 'none') return given
    const url = typeof given === 'string' ? given.trim() : ''
    if (/^postgres(ql)?:\/\//.test(url)) return postgresAddress(url, place)?.url as LogStoreChoice | undefined
    const fix = 'Write one of: auto, local, none, postgres://user@host/database.'
    place.refuse(hidden(given), `${quote(hidden(given))} is not one of its values.`, fix)
  },
})

export const postgresField = object('How to talk to PostgreSQL; without effect on other stores.', {
  connections: integer('Connections of this process at most.', { default: 10, min: 1, max: 1_000 }),
})

export function resolveStore(choice: StoreChoice, connectionsMax: number): StoreOptions {
  return choice.kind === 'postgres' ? { ...choice, connectionsMax } : choice
}

/** The address without user and password, for people. */
export function storeAddress(url: string): string {
  const { host, pathname } = new URL(url)
  return `${host}${pathname === '/' ? '' : pathname}`
}

function postgresAddress(given: string, place: Place): (StoreChoice & { kind: 'postgres' }) | undefined {
  const url = parseUrl(given)
  const fix = 'Write postgres://user:password@host:5432/database.'
  if (url === null) return place.refuse(HIDDEN, 'This is not the address of a PostgreSQL server.', fix)
  if (!/^\/[^/]+$/.test(url.pathname)) return place.refuse(hidden(given), 'The address names no database.', fix)
  return { kind: 'postgres', url: given }
}

function redisAddress(given: string, place: Place): StoreChoice | undefined {
  const url = parseUrl(given)
  const fix = 'Write redis://user:password@host:6379/0; rediss:// for TLS.'
  if (url === null) return place.refuse(HIDDEN, 'This is not the address of a Redis server.', fix)
  if (!/^(|\/|\/\d{1,4})$/.test(url.pathname)) {
    return place.refuse(hidden(given), "What stands behind the host is no database's number.", fix)
  }
  return { kind: 'redis', url: given }
}

function parseUrl(given: string): URL | null {
  try {
    const url = new URL(given)
    return url.hostname === '' ? null : url
  } catch {
    return null
  }
}

/** Whatever stands before an @ may be a password, also where the rest is no address. */
function hidden(given: unknown): unknown {
  return typeof given === 'string' && given.includes('@') ? HIDDEN : given
}

const HIDDEN = '(hidden)'
