import { ForebayError } from '@forebay/protocol/errors'

/** Parses a body, or `what` it is, as JSON in UTF-8. Throws MALFORMED_JSON, which says where it stops being JSON. */
export function parseJson(bytes: Uint8Array, what = 'The body'): unknown {
  let text: string
  try {
    text = UTF_8.decode(bytes)
  } catch {
    throw malformed(`${what} is not JSON: it is not UTF-8`, null)
  }
  try {
    return JSON.parse(text)
  } catch {
    const at = faultAt(text)
    const why = at >= text.length ? 'it ends too early' : 'an unexpected character'
    throw malformed(`${what} is not JSON: ${why}`, at, text)
  }
}

/** A byte order mark stays in the text, where JSON does not allow it. */
const UTF_8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function malformed(why: string, at: number | null, text = ''): ForebayError {
  if (at === null) return new ForebayError('MALFORMED_JSON', `${why}.`)
  const before = text.slice(0, at)
  const line = before.split('\n').length
  const column = at - before.lastIndexOf('\n')
  return new ForebayError('MALFORMED_JSON', `${why} at line ${line}, column ${column}.`, {
    members: { position: at, line, column },
  })
}

/**
 * Index of the first character that cannot belong to JSON; the length of the text when it ends too early. The
 * engine's own message names it only sometimes and quotes the body.
 */
function faultAt(text: string): number {
  const open: ('{' | '[')[] = []
  let expect: 'value' | 'value-or-end' | 'name' | 'name-or-end' | 'colon' | 'next' = 'value'
  let at = 0
  while (true) {
    SPACE.lastIndex = at
    SPACE.test(text)
    at = SPACE.lastIndex
    const character = text[at]
    if (character === undefined) return at
    const within = open.at(-1)
    if (expect === 'next') {
      if (within === undefined) return at
      if (character === ',') expect = within === '{' ? 'name' : 'value'
      else if (character === (within === '{' ? '}' : ']')) open.pop()
      else return at
      at++
    } else if (expect === 'colon') {
      if (character !== ':') return at
      expect = 'value'
      at++
    } else if (expect === 'name' || expect === 'name-or-end') {
      if (character === '}' && expect === 'name-or-end') {
        open.pop()
        expect = 'next'
        at++
        continue
      }
      if (character !== '"') return at
      const end = scalarEnd(text, at)
      if (end.fault) return end.at
      at = end.at
      expect = 'colon'
    } else if (character === ']' && expect === 'value-or-end') {
      open.pop()
      expect = 'next'
      at++
    } else if (character === '{' || character === '[') {
      open.push(character)
      expect = character === '{' ? 'name-or-end' : 'value-or-end'
      at++
    } else {
      const end = scalarEnd(text, at)
      if (end.fault) return end.at
      at = end.at
      expect = 'next'
    }
  }
}

const SPACE = /[ \t\r\n]*/y
// biome-ignore lint/suspicious/noControlCharactersInRegex: JSON strings have none
const STRING_SO_FAR = /"(?:[^"\\\u0000-\u001f]+|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*/y
const OTHER_SCALAR = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)/y

/** Where the string, number or word that starts at `from` ends, or where it breaks. */
function scalarEnd(text: string, from: number): { readonly at: number; readonly fault: boolean } {
  if (text[from] === '"') {
    STRING_SO_FAR.lastIndex = from
    STRING_SO_FAR.test(text)
    const at = STRING_SO_FAR.lastIndex
    return text[at] === '"' ? { at: at + 1, fault: false } : { at, fault: true }
  }
  OTHER_SCALAR.lastIndex = from
  return OTHER_SCALAR.test(text) ? { at: OTHER_SCALAR.lastIndex, fault: false } : { at: from, fault: true }
}
