import { accessLogFormats, LOG_FORMATS } from './access-log.ts'
import { block, type Directive, line } from './directives.ts'
import { luaLogging, luaShared } from './lua-side.ts'
import type { NginxPlan } from './plan.ts'

/** What both doors have: where they listen, TLS, limits, and the maps and zones they share. */

export function sharedDirectives(plan: NginxPlan): Directive[] {
  return [
    ...accessLogFormats(plan),
    ...zones(plan),
    ...luaShared(plan),
    block('map $http_upgrade $forebay_connection', 'The Connection header of a WebSocket handshake.', [
      line('default upgrade', 'asked for'),
      line("'' ''", 'not asked for: an ordinary request'),
    ]),
    ...roadMaps(plan),
  ]
}

export function listening(
  { tls, serverName, accessLog, syslog, lua }: NginxPlan,
  listen: string,
  whom: string,
  door: keyof typeof LOG_FORMATS,
): Directive[] {
  const flags = [...(tls === null ? [] : ['ssl']), ...(door === 'grpc' || tls !== null ? ['http2'] : [])]
  const format = LOG_FORMATS[door]
  return [
    line(
      ['listen', listen, ...flags].join(' '),
      `${whom}${tls === null ? '' : ', over TLS'}${flags.includes('http2') ? ' and HTTP/2' : ''}`,
    ),
    line(
      `server_name ${serverName}`,
      serverName === '_' ? 'whatever name they call it by' : 'the name they call it by',
    ),
    ...(tls === null
      ? []
      : [
          line(`ssl_certificate "${tls.cert}"`, 'with the chain that leads to it'),
          line(`ssl_certificate_key "${tls.key}"`, 'readable by root only'),
          line('ssl_protocols TLSv1.2 TLSv1.3', 'older ones are broken'),
          line('ssl_session_cache shared:forebay_tls:10m', 'callers who come back shake hands once'),
          line('ssl_session_tickets off', 'a stolen ticket key would open old traffic'),
        ]),
    line('server_tokens off', "which nginx this is is nobody's business"),
    ...(flags.includes('http2')
      ? [line('http2_max_concurrent_streams 1024', 'waits and streams of one caller share its connection')]
      : []),
    line('keepalive_requests 100000', 'a busy connection need not be made anew'),
    ...fileLog(accessLog, format, syslog !== null),
    ...(syslog === null
      ? []
      : [
          line(
            `access_log syslog:server=${syslog},nohostname,tag=forebay ${format}`,
            'the same to a collector; what it cannot take at once is lost',
          ),
        ]),
    ...luaLogging(lua),
  ]
}

function fileLog(accessLog: string, format: string, isBesideSyslog: boolean): Directive[] {
  if (accessLog !== 'off') {
    return [
      line(`access_log "${accessLog}" ${format} buffer=64k flush=1s`, 'written once a second, or when it is much'),
    ]
  }
  return isBesideSyslog ? [] : [line('access_log off', 'no file')]
}

export function limits({ rate, connections }: NginxPlan): Directive[] {
  return [
    ...(rate === null
      ? []
      : [
          line(
            `limit_req zone=forebay_rate burst=${rate.count} nodelay`,
            'a burst as large as the rate passes at once',
          ),
          line('limit_req_status 429', 'as gateways say it'),
        ]),
    ...(connections === null
      ? []
      : [
          line(
            `limit_conn forebay_connections ${connections}`,
            'requests of one address under way, waits and streams too',
          ),
          line('limit_conn_status 429', 'as gateways say it'),
        ]),
  ]
}

function zones({ rate, connections }: NginxPlan): Directive[] {
  return [
    ...(rate === null
      ? []
      : [
          line(
            `limit_req_zone $binary_remote_addr zone=forebay_rate:10m rate=${rate.count}r/${rate.per}`,
            'by client address, 160,000 of them',
          ),
        ]),
    ...(connections === null
      ? []
      : [line('limit_conn_zone $binary_remote_addr zone=forebay_connections:10m', 'by client address')]),
  ]
}

/** The order counts: the first that fits. A path may hold anything, so it comes last. */
function roadMaps({ keysHold }: NginxPlan): Directive[] {
  const roads = block(
    'map "$request_method $forebay_key $uri" $forebay_road',
    'How a request may go on when a gateway fails.',
    [
      line('default @forebay_put_once', 'what is not known is not repeated'),
      line('"~^(GET|HEAD|OPTIONS|DELETE) " @forebay_again', 'reads; a cancelled task is cancelled once'),
      line('"~^POST [a-z]+ /v1/(admin|tasks)/" @forebay_once', 'here an Idempotency-Key means nothing'),
      line('"~^PUT [a-z]+ /v1/" @forebay_put_once', 'nor here'),
      ...(keysHold ? [line('"~^(POST|PUT) keyed " @forebay_keyed', 'with a key: the same task, however often')] : []),
      line(
        '"~^POST " @forebay_once',
        keysHold ? 'without' : 'a key holds at one gateway only: the store is not common to them',
      ),
    ],
  )
  const key = block('map $http_idempotency_key $forebay_key', 'Whether the caller sent an Idempotency-Key.', [
    line('default keyed', 'it did'),
    line("'' keyless", 'it did not'),
  ])
  return [key, roads]
}
