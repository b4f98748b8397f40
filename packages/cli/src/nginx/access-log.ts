import { block, type Directive, line } from './directives.ts'

/**
 * What the access log says of a request: the rows of `@forebay/edge`, version 1, so that a collector can pass each line
 * on as it is (docs/edge.md). Quoted are texts, bare are numbers; the maps below see to it that those are some.
 */
const FIELDS: readonly (readonly [name: string, value: string])[] = [
  ['v', '1'],
  ['kind', '"access"'],
  ['time', '"$forebay_time"'],
  ['server', '"$hostname"'],
  ['host', '"$host"'],
  ['client', '"$remote_addr"'],
  ['method', '"$request_method"'],
  ['path', '"$forebay_path"'],
  ['query', '"$forebay_query"'],
  ['protocol', '"$server_protocol"'],
  ['status', '$forebay_status'],
  ['requestBytes', '$request_length'],
  ['responseBytes', '$bytes_sent'],
  ['seconds', '$request_time'],
  ['upstream', '"$upstream_addr"'],
  ['upstreamStatus', '$forebay_upstream_status'],
  ['connectSeconds', '$forebay_connect_seconds'],
  ['headerSeconds', '$forebay_header_seconds'],
  ['upstreamSeconds', '$forebay_upstream_seconds'],
  ['tls', '"$ssl_protocol"'],
  ['cipher', '"$ssl_cipher"'],
  ['cache', '"$upstream_cache_status"'],
  ['userAgent', '"$http_user_agent"'],
  ['referer', '"$http_referer"'],
  ['requestId', '"$request_id"'],
  ['trace', '"$forebay_trace"'],
  ['task', '"$forebay_task"'],
  ['connection', '$connection'],
  ['connectionRequests', '$connection_requests'],
]

/** `log_format` and the maps that it needs, for inside http { }. */
export function accessLogFormat(): Directive[] {
  const members = FIELDS.map(([name, value]) => `"${name}":${value}`).join(',')
  return [
    ...MAPS,
    line(
      `log_format forebay escape=json '{${members}}'`,
      'one JSON object a line, for collectors and stores; no headers that hold keys, no bodies',
    ),
  ]
}

const MAPS: readonly Directive[] = [
  block('map "$time_iso8601 $msec" $forebay_time', 'When a request ended, with milliseconds.', [
    line('"~^(.{19})(.{5,6}) [0-9]+(\\.[0-9]+)$" $1$3$2', 'from both of its forms'),
    line('default $time_iso8601', 'whole seconds'),
  ]),
  block('map $request_uri $forebay_path', 'The path as the client wrote it.', [
    line('"~^([^?]*)" $1', 'without its query'),
    line("default ''", 'nothing that could be read'),
  ]),
  block('map $request_uri $forebay_query', 'The query as the client wrote it; the collector takes secrets out of it.', [
    line('"~^[^?]*\\?(.*)$" $1', 'without the question mark'),
    line("default ''", 'none'),
  ]),
  block('map $status $forebay_status', 'The status as a number.', [
    line('000 0', 'no answer was begun'),
    line('009 0', 'an answer of HTTP/0.9 has none'),
    line('default $status', 'it is one; regular expressions cost a microsecond each'),
  ]),
  lastOf('status', 'The status', '[0-9]+'),
  lastOf('connect_time', 'Seconds to connect', '[0-9.]+', 'connect_seconds'),
  lastOf('header_time', 'Seconds to the header', '[0-9.]+', 'header_seconds'),
  lastOf('response_time', 'Seconds to the end', '[0-9.]+', 'upstream_seconds'),
  block('map $http_traceparent $forebay_trace', 'The trace id, if what the client sent is a valid one.', [
    line("'' ''", 'it sent none'),
    line('"~^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-|$)" $1', 'of any version of traceparent'),
    line("default ''", 'none'),
  ]),
  block('map $request_uri $forebay_path_task', 'The task that the path names.', [
    line('"~^/v1/tasks/([A-Za-z0-9_-]{1,128})([/?]|$)" $1', 'whether it exists is said by the status'),
    line("default ''", 'none'),
  ]),
  block('map $sent_http_location $forebay_location_task', 'The task that was begun.', [
    line("'' $forebay_path_task", 'none was'),
    line('"~/v1/tasks/([A-Za-z0-9_-]{1,128})$" $1', 'its address is in the answer'),
    line('default $forebay_path_task', 'none was'),
  ]),
  block('map $sent_http_forebay_task $forebay_task', 'The task that a request was about.', [
    line("'' $forebay_location_task", 'the answer does not say it'),
    line('default $sent_http_forebay_task', 'the answer says it'),
  ]),
]

/** nginx lists one value for each address it tried, '0.001, 0.002 : 0.003', and '-' where there is none. */
function lastOf(variable: string, what: string, number: string, name = `upstream_${variable}`): Directive {
  return block(`map $upstream_${variable} $forebay_${name}`, `${what}, of the last gateway that was asked.`, [
    line(`"~(?:^|[ ,:])(${number})$" $1`, 'a number'),
    line('default null', 'none was asked, or it said nothing'),
  ])
}
