import { ROW_VERSION } from '../row.ts'
import type { Given } from './json-line.ts'
import { readRequestLine, taskIn } from './request-line.ts'

/**
 * nginx's `combined` and the older `common`, as `log_format` writes them: `CLIENT - USER [TIME] "REQUEST" STATUS BYTES`, then
 * `"REFERER" "USER-AGENT"`. What else stands at the end of a line is taken for fields that a team added and left out of the row.
 * Null for a line that is neither.
 */
export function readCombined(line: string, format: 'combined' | 'common'): Given | null {
  const found = HEAD.exec(line)
  if (found === null) return null
  const [head, client, , day, month, year, clock, offset, request, status, bytes] = found
  const monthNumber = MONTHS.indexOf(month!) + 1
  if (monthNumber === 0) return null
  const [referer, userAgent] = format === 'common' ? ['', ''] : quotedAfter(line.slice(head.length))
  if (referer === undefined || userAgent === undefined) return null
  const { method, path, query, protocol } = readRequestLine(unescaped(request!))
  const two = (value: string | number) => String(value).padStart(2, '0')
  return {
    v: ROW_VERSION,
    kind: 'access',
    time: `${year}-${two(monthNumber)}-${two(day!)}T${clock}.000${offset!.slice(0, 3)}:${offset!.slice(3)}`,
    ...{ server: '', host: '', client: client!, method, path, query, protocol },
    ...{
      status: Number(status),
      requestBytes: null,
      responseBytes: bytes === '-' ? null : Number(bytes),
      seconds: null,
    },
    ...{ upstream: '', upstreamStatus: null, connectSeconds: null, headerSeconds: null, upstreamSeconds: null },
    ...{ tls: '', cipher: '', cache: '', userAgent: absent(unescaped(userAgent)), referer: absent(unescaped(referer)) },
    ...{ requestId: '', trace: '', task: taskIn(path), connection: null, connectionRequests: null },
  }
}

/** Inside quotes nginx writes `"`, `\` and what is not ASCII as \xHH, Apache as \" too. */
const QUOTED = '"((?:[^"\\\\]|\\\\.)*)"'
const HEAD = new RegExp(
  `^(\\S+) \\S+ (.+?) \\[(\\d{1,2})/(\\w{3})/(\\d{4}):(\\d\\d:\\d\\d:\\d\\d) ([+-]\\d{4})\\] ${QUOTED} (\\d{3}) (\\d+|-)`,
)
const TAIL = new RegExp(`^ ${QUOTED} ${QUOTED}`)
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

function quotedAfter(text: string): readonly (string | undefined)[] {
  const [, referer, userAgent] = TAIL.exec(text) ?? []
  return [referer, userAgent]
}

function absent(text: string): string {
  return text === '-' ? '' : text
}

function unescaped(text: string): string {
  if (!text.includes('\\')) return text
  const bytes = text.replace(/\\(?:x([0-9A-Fa-f]{2})|(.))/g, (_, hex: string | undefined, plain: string) =>
    hex === undefined ? plain : String.fromCharCode(Number.parseInt(hex, 16)),
  )
  // The escapes stand for bytes, which may be UTF-8; what is not stays a character for each byte.
  const utf8 = /[\u0100-\uffff]/.test(bytes) ? bytes : Buffer.from(bytes, 'latin1').toString()
  return utf8.includes('\ufffd') ? bytes : utf8
}
