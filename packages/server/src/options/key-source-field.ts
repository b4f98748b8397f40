import type { KeySource } from '../options.ts'
import { type Field, leaf, type Place, quote } from './field.ts'

/** 'path.customer', 'header.X-Customer', 'body./customer/id'. */
export const keySourceField: Field<string, KeySource | null> = leaf<string, KeySource | null>({
  about:
    'Where the ordering key comes from when the caller sends no Forebay-Key header: path.NAME (a {NAME} of the route), ' +
    'header.NAME, or body./POINTER (a JSON pointer into a JSON body). Default: only the header.',
  schema: { type: 'string', pattern: '^(path\\.|header\\.|body\\./)' },
  absent: null,
  parse(given, place) {
    const parameter = /^path\.([A-Za-z][A-Za-z0-9_]*)$/.exec(typeof given === 'string' ? given : '')?.[1]
    if (parameter !== undefined) return { from: 'path', parameter }
    const source = headerOrBody(given, place)
    if (source !== null) return source
    const fix = 'Write path.customer, header.X-Customer or body./customer/id.'
    place.refuse(given, `${quote(given)} is no place that a key can come from.`, fix)
  },
})

/** 'header.NAME' or 'body./POINTER'; null for anything else, undefined for what is one of them and was refused. */
export function headerOrBody(given: unknown, place: Place): HeaderOrBody | null | undefined {
  const [, from, rest] = /^(header|body)\.(.+)$/s.exec(typeof given === 'string' ? given : '') ?? []
  if (from === 'header' && HEADER.test(rest!)) {
    const header = rest!.toLowerCase()
    if (!SECRET.has(header)) return { from, header }
    const message = `The header ${header} holds a secret, and what is taken from it stands readable in the log.`
    return place.refuse(given, message, 'Name another header.')
  }
  if (from === 'body') {
    if (POINTER.test(rest!)) return { from, pointer: rest! }
    const fix = `Write a JSON pointer: body./${rest!.replace(/^\//, '').replaceAll('.', '/')}`
    return place.refuse(given, `${quote(rest)} is not a JSON pointer.`, fix)
  }
  return null
}

export type HeaderOrBody = Exclude<KeySource, { from: 'path' }>

const HEADER = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/
const POINTER = /^(\/([^~/]|~0|~1)*)+$/
const SECRET: ReadonlySet<string> = new Set(['authorization', 'cookie', 'proxy-authorization'])
