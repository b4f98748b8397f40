import type { LogRow } from '../log-row.ts'
import { ROW_VERSION } from '../row.ts'
import { REDACTED, type Redaction } from './redaction.ts'
import { severityName } from './severity.ts'

/** What is known of a log record, whoever brought it. What is no id, or no text, is not believed. */
export interface LogFields {
  /** As in the row. */
  readonly time: string
  readonly severity: number
  readonly severityText: unknown
  readonly body: unknown
  readonly service: unknown
  readonly server: unknown
  readonly scope: unknown
  readonly event: unknown
  readonly trace: unknown
  readonly span: unknown
  readonly task: unknown
  /** Changed in place: secrets are hidden, and ids of the wrong shape go there. */
  readonly attributes: Record<string, unknown>
  readonly resource: Record<string, unknown>
}

/** The row of it, redacted. */
export function logRowOf(fields: LogFields, redaction: Redaction): LogRow {
  const { time, severity, attributes, resource } = fields
  hideSecrets(attributes, redaction)
  hideSecrets(resource, redaction)
  const { body } = fields
  if (typeof body === 'object' && body !== null) hideSecrets(body as Record<string, unknown>, redaction)
  return {
    v: ROW_VERSION,
    kind: 'log',
    time,
    severity,
    severityText: textOf(fields.severityText) || severityName(severity),
    body: typeof body === 'string' ? body : body === undefined || body === null ? '' : JSON.stringify(body),
    service: textOf(fields.service),
    server: textOf(fields.server),
    scope: textOf(fields.scope),
    event: textOf(fields.event),
    trace: idOf(fields.trace, TRACE, 'trace', attributes),
    span: idOf(fields.span, SPAN, 'span', attributes),
    task: idOf(fields.task, TASK, 'task', attributes),
    attributes,
    resource,
  }
}

/** ISO 8601 in UTC with 6 digits of a second. */
export function timeOfNanos(nanos: bigint): string {
  const micros = nanos / 1_000n
  const rest = micros % 1_000n
  return `${new Date(Number(micros / 1_000n)).toISOString().slice(0, -1)}${rest.toString().padStart(3, '0')}Z`
}

/** Whether a year of four digits holds it; a clock that is further off is nobody's. */
export function isTellable(ms: number): boolean {
  return ms > 0 && ms < LAST_MS
}

const LAST_MS = Date.UTC(9999, 11, 31)

/** Zeros alone say that there is none. */
const TRACE = /^(?!0{32})[0-9a-f]{32}$/
const SPAN = /^(?!0{16})[0-9a-f]{16}$/
const TASK = /^[\w.:-]{1,128}$/

function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  return typeof value === 'number' ? String(value) : ''
}

/** What has another shape stays beside the attributes, so that nobody joins by it. */
function idOf(value: unknown, shape: RegExp, name: string, attributes: Record<string, unknown>): string {
  if (typeof value === 'string') {
    const id = name === 'task' ? value : value.toLowerCase()
    if (shape.test(id)) return id
    if (/^0*$/.test(value)) return ''
  } else if (value === undefined || value === null) return ''
  attributes.claimed = { ...(typeof attributes.claimed === 'object' ? attributes.claimed : {}), [name]: value }
  return ''
}

/** Secret members; URLs and queries with secret parameters; addresses of clients. */
function hideSecrets(holder: Record<string, unknown>, redaction: Redaction): void {
  redaction.members(holder)
  hideInside(holder, redaction, 0)
}

function hideInside(holder: Record<string, unknown>, redaction: Redaction, depth: number): void {
  for (const name of Object.keys(holder)) {
    const value = holder[name]
    if (typeof value === 'string') {
      // OpenTelemetry's names are paths: 'http.request.header.authorization', 'url.query'.
      const last = name.slice(name.lastIndexOf('.') + 1)
      if (value !== '' && last !== name && redaction.hides(last)) holder[name] = REDACTED
      else if (URLS.has(last)) holder[name] = redaction.url(value)
      else if (name === 'query' || name === 'url.query') holder[name] = redaction.query(value)
      else if (CLIENTS.has(name) && !redaction.keepsClient) holder[name] = redaction.client(value)
    } else if (typeof value === 'object' && value !== null && depth < DEPTH_MAX) {
      const last = name.slice(name.lastIndexOf('.') + 1)
      if (last !== name && redaction.hides(last)) holder[name] = REDACTED
      else hideInside(value as Record<string, unknown>, redaction, depth + 1)
    }
  }
}

const DEPTH_MAX = 16
const URLS: ReadonlySet<string> = new Set([
  'url',
  'full',
  'uri',
  'target',
  'path',
  'originalUrl',
  'referer',
  'referrer',
])
const CLIENTS: ReadonlySet<string> = new Set([
  ...['client.address', 'client', 'remoteAddress', 'remote_addr', 'net.sock.peer.addr', 'network.peer.address', 'ip'],
])
