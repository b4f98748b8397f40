import type { Redaction } from './redaction.ts'

/**
 * A line as nginx writes it in our format, with nothing in it that has to be hidden or mended: told by one pass over its
 * characters, without making an object of it. Whatever does not match takes the longer way, so this only has to be strict.
 */
const PLAIN = '[^"\\\\\\x00-\\x1f]*'
const WITHOUT_QUERY = '[^"\\\\\\x00-\\x1f?@]*'
const NUMBER = '(?:0|[1-9]\\d*)(?:\\.\\d+)?'

const SHAPES: readonly (readonly [name: string, shape: string])[] = [
  ...texts('time', 'server', 'host', 'client', 'method'),
  ['path', `"${WITHOUT_QUERY}"`],
  ['query', '""'],
  ...texts('protocol'),
  ...numbers('status', 'requestBytes', 'responseBytes', 'seconds'),
  ...texts('upstream'),
  ...numbers('upstreamStatus', 'connectSeconds', 'headerSeconds', 'upstreamSeconds'),
  ...texts('tls', 'cipher', 'cache', 'userAgent'),
  ['referer', `"${WITHOUT_QUERY}"`],
  ['requestId', '"[\\w.:-]{0,128}"'],
  ['trace', '"(?:[0-9a-f]{32})?"'],
  ['task', '"[\\w.:-]{0,128}"'],
  ...numbers('connection', 'connectionRequests'),
]

/** Sticky: tells whether such a line, with its newline, stands at `lastIndex`. Null where lines of this format hold something to hide. */
export function plainLine(redaction: Redaction): RegExp | null {
  const names = ['v', 'kind', ...SHAPES.map(([name]) => name)]
  if (!redaction.keepsClient || names.some(redaction.hides)) return null
  const members = SHAPES.map(([name, shape]) => `"${name}":${shape}`).join(',')
  return new RegExp(`\\{"v":1,"kind":"access",${members}\\}\\n`, 'y')
}

function texts(...names: readonly string[]): readonly (readonly [string, string])[] {
  return names.map((name) => [name, `"${PLAIN}"`])
}

function numbers(...names: readonly string[]): readonly (readonly [string, string])[] {
  return names.map((name) => [name, `(?:${NUMBER}|null)`])
}
