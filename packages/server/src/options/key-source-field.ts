import type { KeySource } from '../options.ts'
import { type Field, leaf, quote } from './field.ts'

/** 'path.customer', 'header.X-Customer', 'body./customer/id'. */
export const keySourceField: Field<string, KeySource | null> = leaf<string, KeySource | null>({
  about:
    'Where the ordering key comes from when the caller sends no Forebay-Key header: path.NAME (a {NAME} of the route), ' +
    'header.NAME, or body./POINTER (a JSON pointer into a JSON body). Default: only the header.',
  schema: { type: 'string', pattern: '^(path\\.|header\\.|body\\./)' },
  absent: null,
  parse(given, place) {
    const [, from, rest] = /^(\w+)\.(.+)$/s.exec(typeof given === 'string' ? given : '') ?? []
    if (from === 'path' && rest !== undefined && /^[A-Za-z][A-Za-z0-9_]*$/.test(rest)) return { from, parameter: rest }
    if (from === 'header' && rest !== undefined && HEADER.test(rest)) {
      const header = rest.toLowerCase()
      if (!SECRET.has(header)) return { from, header }
      const message = `The header ${header} holds a secret, and a key stands readable in the log.`
      return place.refuse(given, message, 'Take the key from another header.')
    }
    if (from === 'body' && rest !== undefined) {
      if (POINTER.test(rest)) return { from, pointer: rest }
      const fix = `Write a JSON pointer: body./${rest.replace(/^\//, '').replaceAll('.', '/')}`
      return place.refuse(given, `${quote(rest)} is not a JSON pointer.`, fix)
    }
    const fix = 'Write path.customer, header.X-Customer or body./customer/id.'
    place.refuse(given, `${quote(given)} is no place that a key can come from.`, fix)
  },
})

const HEADER = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/
const POINTER = /^(\/([^~/]|~0|~1)*)+$/
const SECRET: ReadonlySet<string> = new Set(['authorization', 'cookie', 'proxy-authorization'])
