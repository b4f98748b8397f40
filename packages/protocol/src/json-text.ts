/**
 * The text of a member of a JSON object as its writer wrote it: numbers of any size, order and spaces as they were. Null
 * when there is none; of several of one name the last counts, as `JSON.parse` has it. `json` must be well-formed.
 */
export function memberText(json: string, name: string): string | null {
  let depth = 0
  let at = 0
  let isName = false
  let wanted = false
  let from = -1
  let found: string | null = null
  while (at < json.length) {
    const character = json.charCodeAt(at)
    if (character === QUOTE) {
      const end = stringEnd(json, at)
      if (depth === 1 && isName) wanted = JSON.parse(json.slice(at, end)) === name
      at = end
      continue
    }
    if (character === COLON && depth === 1 && isName) {
      isName = false
      from = at + 1
    } else if (character === COMMA && depth === 1) {
      if (wanted) found = json.slice(from, at)
      isName = true
    } else if (character === OPEN_BRACE || character === OPEN_BRACKET) {
      depth++
      if (depth === 1) isName = true
    } else if (character === CLOSE_BRACE || character === CLOSE_BRACKET) {
      depth--
      if (depth === 0 && wanted && from >= 0) found = json.slice(from, at)
    }
    at++
  }
  return found === null ? null : found.trim()
}

const QUOTE = 0x22
const COLON = 0x3a
const COMMA = 0x2c
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const BACKSLASH = 0x5c

/** Behind the quote that closes the string which begins at `from`. */
function stringEnd(json: string, from: number): number {
  for (let at = json.indexOf('"', from + 1); at >= 0; at = json.indexOf('"', at + 1)) {
    let escapes = 0
    while (json.charCodeAt(at - 1 - escapes) === BACKSLASH) escapes++
    if (escapes % 2 === 0) return at + 1
  }
  return json.length
}

/** The texts of the elements of a JSON array as their writer wrote them. `json` must be a well-formed array. */
export function elementTexts(json: string): string[] {
  const texts: string[] = []
  let depth = 0
  let from = -1
  for (let at = 0; at < json.length; at++) {
    const character = json.charCodeAt(at)
    if (character === QUOTE) {
      at = stringEnd(json, at) - 1
    } else if (character === OPEN_BRACE || character === OPEN_BRACKET) {
      depth++
      if (depth === 1) from = at + 1
    } else if (character === CLOSE_BRACE || character === CLOSE_BRACKET) {
      depth--
      if (depth === 0) {
        const last = json.slice(from, at).trim()
        if (last !== '') texts.push(last)
      }
    } else if (character === COMMA && depth === 1) {
      texts.push(json.slice(from, at).trim())
      from = at + 1
    }
  }
  return texts
}
