import { type Directive, line } from './directives.ts'
import type { NginxPlan } from './plan.ts'

/**
 * What the access log says of a request: nginx's variables as they are. The collector makes the rows of `@forebay/edge` of them
 * (packages/edge/src/decode/nginx-line.ts, docs/edge.md): what is taken apart there costs no request anything, while each regular
 * expression here cost nginx a microsecond. Quoted is what may be no number: '-', '000', a list of one value for each gateway asked.
 * What the collector looks at stands first, the rest goes on as it is.
 */
const FIELDS: readonly (readonly [name: string, value: string])[] = [
  ['nginx', '1'],
  ['time', '"$time_iso8601"'],
  ['clock', '$msec'],
  ['client', '"$remote_addr"'],
  ['request', '"$request"'],
  ['status', '"$status"'],
  ['upstreamStatus', '"$upstream_status"'],
  ['connectSeconds', '"$upstream_connect_time"'],
  ['headerSeconds', '"$upstream_header_time"'],
  ['upstreamSeconds', '"$upstream_response_time"'],
  ['referer', '"$http_referer"'],
  ['traceparent', '"$http_traceparent"'],
  ['location', '"$sent_http_location"'],
  ['task', '"$sent_http_forebay_task"'],
  ['server', '"$hostname"'],
  ['host', '"$host"'],
  ['requestBytes', '$request_length'],
  ['responseBytes', '$bytes_sent'],
  ['seconds', '$request_time'],
  ['upstream', '"$upstream_addr"'],
  ['tls', '"$ssl_protocol"'],
  ['cipher', '"$ssl_cipher"'],
  ['cache', '"$upstream_cache_status"'],
  ['userAgent', '"$http_user_agent"'],
  ['requestId', '"$request_id"'],
  ['connection', '$connection'],
  ['connectionRequests', '$connection_requests'],
]

/** `log_format` of both doors, for inside http { }. What a door never has is not asked for: each variable costs a request some 100 ns. */
export function accessLogFormats({ tls }: Pick<NginxPlan, 'tls'>): Directive[] {
  const never = tls === null ? ['tls', 'cipher'] : []
  return [
    line(
      `log_format ${LOG_FORMATS.http} escape=json '${lineOf([...never, 'task'])}'`,
      'one JSON object a line, for collectors and stores; no headers that hold keys, no bodies',
    ),
    line(`log_format ${LOG_FORMATS.grpc} escape=json '${lineOf([...never, 'location'])}'`, 'the same of gRPC'),
  ]
}

/** Answers over HTTP name their task in Location, those over gRPC in a header. */
export const LOG_FORMATS = { http: 'forebay', grpc: 'forebay_grpc' } as const

function lineOf(never: readonly string[]): string {
  const members = FIELDS.map(([name, value]) => `"${name}":${never.includes(name) ? '""' : value}`)
  return `{${members.join(',')}}`
}
