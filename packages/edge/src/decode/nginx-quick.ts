import { taskOf } from './nginx-line.ts'
import type { Redaction } from './redaction.ts'

/**
 * The quick way for lines of `nginx-line.ts`: one pass of a regular expression over the characters, and the row is put together
 * from what it found, without making an object. Whatever does not match, what has escapes for one, takes the longer way: so this only has to be strict.
 */
export interface QuickNginx {
  /** The row of the line that stands at `start` of `text` (a character for each byte), which ends with a newline; null where it is for the longer way. */
  row(text: string, start: number): Buffer | null
}

/** No escapes; bytes of UTF-8 may be among them. */
const PLAIN = '[^"\\\\\\x00-\\x1f]*'
const ASCII = '[ !#-\\[\\]-~]*'
const NUMBER = '(?:0|[1-9]\\d*)(?:\\.\\d+)?'
const LAST = `"(?:[\\d.,: -]*[ ,:])?(?:(${NUMBER})|-)?"`

/** In the order of the line. What stands in brackets is taken apart, the others go into the row as they are. */
const SHAPES: readonly (readonly [name: string, shape: string])[] = [
  ['nginx', '1'],
  ['time', '"([\\dT:-]{19})([+-]\\d\\d:\\d\\d)"'],
  ['clock', '\\d+(\\.\\d{3})'],
  ['client', `"(${ASCII})"`],
  ['request', '"([A-Z_-]+) ([^"\\\\\\x00-\\x20?]*)(?:\\?([!#-\\[\\]-~]*))? (HTTP/[\\d.]+)"'],
  ['status', '"(\\d{3})"'],
  ['upstreamStatus', LAST],
  ['connectSeconds', LAST],
  ['headerSeconds', LAST],
  ['upstreamSeconds', LAST],
  ['referer', `"(${ASCII})"`],
  ['traceparent', '"(?:00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})?"'],
  ['location', `"(${ASCII})"`],
  ['task', '"([\\w.:-]{0,128})"'],
]
const SAME: readonly (readonly [name: string, shape: string])[] = [
  ...texts('server', 'host'),
  ...numbers('requestBytes', 'responseBytes', 'seconds'),
  ...texts('upstream', 'tls', 'cipher', 'cache', 'userAgent'),
  ['requestId', '"[\\w.:-]{0,128}"'],
  ...numbers('connection', 'connectionRequests'),
]
const OF_ROW = ['v', 'kind', 'method', 'path', 'query', 'protocol', 'trace']

/** Null where lines of this format hold members that have to be hidden. */
export function quickNginx(redaction: Redaction): QuickNginx | null {
  if ([...SHAPES, ...SAME].some(([name]) => redaction.hides(name)) || OF_ROW.some(redaction.hides)) return null
  const line = new RegExp(`\\{${membersOf(SHAPES)},(${membersOf(SAME)}\\})\\n`, 'y')
  return {
    row(text, start) {
      line.lastIndex = start
      const found = line.exec(text)
      return found === null ? null : Buffer.from(rowOf(found, redaction), 'latin1')
    },
  }
}

function rowOf(found: RegExpExecArray, redaction: Redaction): string {
  const path = redaction.url(found[6]!)
  const query = redaction.query(found[7] ?? '')
  const status = found[9]!.startsWith('0') ? '0' : found[9]!
  const task = found[17] || taskOf(found[16]!, path)
  return `{"v":1,"kind":"access","time":"${found[1]}${found[3]}${found[2]}","client":"${redaction.client(found[4]!)}","method":"${found[5]}","path":"${path}","query":"${query}","protocol":"${found[8]}","status":${status},"upstreamStatus":${found[10] ?? 'null'},"connectSeconds":${found[11] ?? 'null'},"headerSeconds":${found[12] ?? 'null'},"upstreamSeconds":${found[13] ?? 'null'},"referer":"${redaction.url(found[14]!)}","trace":"${found[15] ?? ''}","task":"${task}",${found[18]}`
}

function membersOf(shapes: readonly (readonly [name: string, shape: string])[]): string {
  return shapes.map(([name, shape]) => `"${name}":${shape}`).join(',')
}

function texts(...names: readonly string[]): readonly (readonly [string, string])[] {
  return names.map((name) => [name, `"${PLAIN}"`])
}

function numbers(...names: readonly string[]): readonly (readonly [string, string])[] {
  return names.map((name) => [name, NUMBER])
}
