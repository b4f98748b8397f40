/** What the access log says of a request, by name. */
const FIELDS: readonly (readonly [name: string, value: string])[] = [
  ['time', '$time_iso8601'],
  ['requestId', '$request_id'],
  ['client', '$remote_addr'],
  ['method', '$request_method'],
  ['target', '$request_uri'],
  ['protocol', '$server_protocol'],
  ['status', '$status'],
  ['requestBytes', '$request_length'],
  ['bytes', '$bytes_sent'],
  ['seconds', '$request_time'],
  ['gateway', '$upstream_addr'],
  ['gatewayStatus', '$upstream_status'],
  ['gatewaySeconds', '$upstream_response_time'],
  ['location', '$sent_http_location'],
  ['traceparent', '$http_traceparent'],
  ['userAgent', '$http_user_agent'],
]

/** The body of `log_format … escape=json`; all are texts, since some of them hold several values. */
export function accessLogFormat(): string {
  return `'{${FIELDS.map(([name, value]) => `"${name}":"${value}"`).join(',')}}'`
}
