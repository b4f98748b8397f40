import { type Address, parseAddress } from './address.ts'
import { DURATION_PATTERN, formatDuration, parseDuration } from './duration.ts'
import { type Field, leaf, quote } from './field.ts'
import { formatSize, parseSize, SIZE_PATTERN } from './size.ts'

interface DurationLimits<Value> {
  readonly default: Value extends null ? null : string
  readonly min: string
  readonly max: string
}

/** Ms from '30s', '10m' or a number of ms. */
export function duration(about: string, limits: DurationLimits<number>): Field<string | number, number>
export function duration(about: string, limits: DurationLimits<null>): Field<string | number, number | null>
export function duration(
  about: string,
  limits: { readonly default: string | null; readonly min: string; readonly max: string },
): Field<string | number, number | null> {
  const minMs = parseDuration(limits.min)!
  const maxMs = parseDuration(limits.max)!
  return leaf<string | number, number | null>({
    about: `${about} From ${limits.min} to ${limits.max}.`,
    schema: {
      anyOf: [
        { type: 'string', pattern: DURATION_PATTERN },
        { type: 'integer', minimum: 0 },
      ],
    },
    absent: limits.default === null ? null : parseDuration(limits.default),
    ...(limits.default === null ? {} : { written: limits.default }),
    parse(given, place) {
      const ms = parseDuration(given)
      if (ms === null) {
        place.refuse(given, `${quote(given)} is not a duration.`, "Write '500ms', '30s', '10m', '24h', '7d', or ms.")
      } else if (ms < minMs || ms > maxMs) {
        const range = `${formatDuration(minMs)} to ${formatDuration(maxMs)}`
        place.refuse(given, `${quote(given)} is out of range.`, `Write a duration from ${range}.`)
      } else return ms
    },
  })
}

interface SizeLimits<Value> {
  readonly default: Value extends null ? null : string
  readonly min: string
  readonly max: string
}

export function size(about: string, limits: SizeLimits<number>): Field<string | number, number>
export function size(about: string, limits: SizeLimits<null>): Field<string | number, number | null>
export function size(
  about: string,
  limits: { readonly default: string | null; readonly min: string; readonly max: string },
): Field<string | number, number | null> {
  const minBytes = parseSize(limits.min)!
  const maxBytes = parseSize(limits.max)!
  return leaf<string | number, number | null>({
    about: `${about} From ${limits.min} to ${limits.max}.`,
    schema: {
      anyOf: [
        { type: 'string', pattern: SIZE_PATTERN },
        { type: 'integer', minimum: 0 },
      ],
    },
    absent: limits.default === null ? null : parseSize(limits.default),
    ...(limits.default === null ? {} : { written: limits.default }),
    parse(given, place) {
      const bytes = parseSize(given)
      if (bytes === null) {
        place.refuse(given, `${quote(given)} is not a size.`, "Write '512KiB', '1MiB', '2MB', or a number of bytes.")
      } else if (bytes < minBytes || bytes > maxBytes) {
        const range = `${formatSize(minBytes)} to ${formatSize(maxBytes)}`
        place.refuse(given, `${quote(given)} is out of range.`, `Write a size from ${range}.`)
      } else return bytes
    },
  })
}

interface IntegerLimits<Value> {
  readonly default: Value
  readonly min: number
  readonly max: number
}

export function integer<Value extends number | null>(
  about: string,
  limits: IntegerLimits<Value>,
): Field<number, Value extends null ? number | null : number> {
  const { min, max } = limits
  return leaf<number, number | null>({
    about,
    schema: { type: 'integer', minimum: min, maximum: max },
    absent: limits.default,
    ...(limits.default === null ? {} : { written: limits.default }),
    fromText: 'yaml',
    parse(given, place) {
      if (typeof given !== 'number' || !Number.isInteger(given)) {
        place.refuse(given, `${quote(given)} is not a whole number.`, `Write a whole number from ${min} to ${max}.`)
      } else if (given < min || given > max) {
        place.refuse(given, `${given} is out of range.`, `Write a whole number from ${min} to ${max}.`)
      } else return given
    },
  }) as Field<number, Value extends null ? number | null : number>
}

/** A number that need not be whole, above 0 and up to `max`. */
export function fraction(
  about: string,
  limits: { readonly default: number; readonly max: number },
): Field<number, number> {
  const { max } = limits
  return leaf<number, number>({
    about,
    schema: { type: 'number', exclusiveMinimum: 0, maximum: max },
    absent: limits.default,
    written: limits.default,
    fromText: 'yaml',
    parse(given, place) {
      if (typeof given === 'number' && given > 0 && given <= max) return given
      const message = typeof given === 'number' ? `${given} is out of range.` : `${quote(given)} is not a number.`
      place.refuse(given, message, `Write a number above 0, up to ${max}.`)
    },
  })
}

export function flag(about: string, absent: boolean): Field<boolean, boolean> {
  return leaf({
    about,
    schema: { type: 'boolean' },
    absent,
    written: absent,
    fromText: 'yaml',
    parse(given, place) {
      if (typeof given === 'boolean') return given
      place.refuse(given, `${quote(given)} is neither true nor false.`, 'Write true or false.')
    },
  })
}

export function choice<const Name extends string>(
  about: string,
  names: readonly Name[],
  absent: Name,
): Field<Name, Name> {
  return leaf<Name, Name>({
    about,
    schema: { enum: names },
    absent,
    written: absent,
    parse(given, place) {
      const name = names.find((known) => known === given)
      if (name !== undefined) return name
      place.refuse(given, `${quote(given)} is not one of its values.`, `Write one of: ${names.join(', ')}.`)
    },
  })
}

export interface TextRule {
  readonly pattern: string
  /** What to write, as a sentence. */
  readonly rule: string
  /** What is given may be a secret by mistake, and is then not repeated. */
  readonly secret?: boolean
}

/** Null where nothing is given. */
export function text(about: string, rule: TextRule = ANY_TEXT): Field<string, string | null> {
  const legal = new RegExp(rule.pattern)
  return leaf<string, string | null>({
    about,
    schema: rule === ANY_TEXT ? { type: 'string' } : { type: 'string', pattern: rule.pattern },
    absent: null,
    parse(given, place) {
      if (typeof given !== 'string') place.refuse(given, `${quote(given)} is not text.`, rule.rule)
      else if (!legal.test(given)) {
        place.refuse(
          rule.secret ? null : given,
          `${rule.secret ? 'This' : quote(given)} cannot be used here.`,
          rule.rule,
        )
      } else return given
    },
  })
}
const ANY_TEXT: TextRule = { pattern: '', rule: 'Write text; quote it where YAML reads it as something else.' }

/** A file or folder, as written: whoever resolves it knows what it is relative to. */
export function path(about: string, absent: string | null = null): Field<string, string | null> {
  return leaf<string, string | null>({
    about,
    schema: { type: 'string', minLength: 1 },
    absent,
    ...(absent === null ? {} : { written: absent }),
    isPath: true,
    parse(given, place) {
      if (typeof given === 'string' && given.length > 0) return given
      place.refuse(given, `${quote(given)} is not a path.`, 'Write a path, relative to this file or absolute.')
    },
  })
}

export function address(about: string, absent: string): Field<string, Address> {
  return leaf({
    about,
    schema: { type: 'string', pattern: '^(\\[[0-9A-Fa-f:.]+\\]|[A-Za-z0-9._-]+):[0-9]{1,5}$' },
    absent: parseAddress(absent)!,
    written: absent,
    parse(given, place) {
      const parsed = typeof given === 'string' ? parseAddress(given) : null
      if (parsed !== null) return parsed
      const fix = `Write host:port, as ${absent}; 0.0.0.0 listens on every interface, port 0 picks a free one.`
      place.refuse(given, `${quote(given)} is not an address.`, fix)
    },
  })
}
