export const MEDIA_TYPE_DEFAULT = 'application/octet-stream'

/** A media type with its parameters, as it may stand in a header: ASCII, at most 255 characters. */
export function isMediaType(text: string): boolean {
  if (COMMON.has(text)) return true
  return text.length <= MEDIA_TYPE_LENGTH_MAX && MEDIA_TYPE.test(text)
}

/** 'application/json' and whatever ends in '+json', with or without parameters. */
export function isJson(mediaType: string): boolean {
  const essence = essenceOf(mediaType)
  return essence === 'application/json' || essence.endsWith('+json')
}

/** Without parameters, in lower case. */
export function essenceOf(mediaType: string): string {
  const end = mediaType.indexOf(';')
  return (end === -1 ? mediaType : mediaType.slice(0, end)).trim().toLowerCase()
}

const MEDIA_TYPE_LENGTH_MAX = 255

/** Spared the expression. */
const COMMON: ReadonlySet<string> = new Set(['application/json', MEDIA_TYPE_DEFAULT, 'text/plain'])

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
const MEDIA_TYPE = new RegExp(
  `^${TOKEN}/${TOKEN}(?:[ \\t]*;[ \\t]*${TOKEN}=(?:${TOKEN}|"[\\x20-\\x21\\x23-\\x5b\\x5d-\\x7e]*"))*$`,
)
