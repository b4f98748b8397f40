import { ForebayError } from '@forebay/protocol'
import { followSteps, nameOf, pointerSteps } from '../json-pointer.ts'
import type { KeySource } from '../options.ts'

/** What a door knows of a request beside its body. */
export interface KeyHints {
  /** What the caller named outright: the Forebay-Key header, the field of a gRPC request. */
  readonly given: string | null
  /** Of the queue's own route. */
  readonly parameters: Readonly<Record<string, string>>
  header(name: string): string | undefined
}

/** Finds the ordering key of a request; `body` is asked for only where the key stands in it. */
export type FindKey = (hints: KeyHints, body: () => unknown) => string | null

export const KEY_BYTES_MAX = 256

/** What the caller named goes first, then the queue's source. Throws KEY_MISSING, BAD_REQUEST for a key that is none. */
export function keyFinder(queue: string, source: KeySource | null): FindKey {
  if (source === null) return ({ given }) => (given === null ? null : checkKey(given, 'the key that was given'))
  const place = placeOf(source)
  const find = finderOf(source)
  return (hints, body) => {
    if (hints.given !== null) return checkKey(hints.given, 'the key that was given')
    const found = find(hints, body)
    if (found === undefined || found === '') {
      throw new ForebayError(
        'KEY_MISSING',
        `Queue "${queue}" takes its ordering key from ${place}, where there is none; send it there, or in the header Forebay-Key.`,
        { members: { queue, source: place } },
      )
    }
    return checkKey(found, place)
  }
}

/** HTTP header bytes arrive as Latin-1; a key in UTF-8 becomes itself again. Throws BAD_HEADER for other bytes. */
export function keyFromHeader(value: string, name = 'Forebay-Key'): string {
  if (ASCII.test(value)) return value
  try {
    return UTF_8.decode(Buffer.from(value, 'latin1'))
  } catch {
    throw new ForebayError('BAD_HEADER', `The header ${name} is not UTF-8.`, { members: { header: name } })
  }
}

function checkKey(key: string, place: string): string {
  const fault =
    key === ''
      ? 'is empty'
      : !key.isWellFormed()
        ? 'is not well-formed Unicode'
        : CONTROL.test(key)
          ? 'holds a control character'
          : key.length > KEY_BYTES_MAX / 3 && Buffer.byteLength(key) > KEY_BYTES_MAX
            ? `is longer than ${KEY_BYTES_MAX} bytes of UTF-8`
            : null
  if (fault === null) return key
  throw new ForebayError('BAD_REQUEST', `The ordering key (${place}) ${fault}.`, { members: { source: place } })
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/
const ASCII = /^[\x20-\x7e]*$/
const UTF_8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function placeOf(source: KeySource): string {
  if (source.from === 'path') return `the path ({${source.parameter}})`
  if (source.from === 'header') return `the header ${source.header}`
  return `the body (${source.pointer})`
}

type Find = (hints: KeyHints, body: () => unknown) => string | undefined

function finderOf(source: KeySource): Find {
  if (source.from === 'path') return ({ parameters }) => parameters[source.parameter]
  if (source.from === 'header') {
    return (hints) => {
      const value = hints.header(source.header)
      return value === undefined ? undefined : keyFromHeader(value, source.header)
    }
  }
  const steps = pointerSteps(source.pointer)
  return (_, body) => nameOf(followSteps(body(), steps))
}
