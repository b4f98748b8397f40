import { block, type Directive, duration, line } from './directives.ts'
import { luaLocations } from './lua-side.ts'
import { CONNECT_MS, type NginxPlan, SSE_SILENCE_MS, WAIT_MARGIN_MS, WATCH_SILENCE_MS } from './plan.ts'
import { problemAnswers } from './problem-answers.ts'
import { limits, listening } from './shared-side.ts'
import { AGAIN, KEYED, ONCE } from './upstreams.ts'

/** Everything of the HTTP door: tasks, results, event streams and WebSocket. */
export function httpSide(plan: NginxPlan): Directive {
  const { pages, locations } = problemAnswers(plan)
  return block('server', 'The HTTP door.', [
    ...listening(plan, plan.listen, 'callers over HTTP', 'http'),
    ...limits(plan),
    line(
      `client_max_body_size ${plan.bodyBytesMax}`,
      'the largest bodyMax: gateways would refuse more, after reading it',
    ),
    line('client_body_buffer_size 128k', 'smaller bodies never touch the disk'),
    line('client_header_timeout 15s', 'as long as a gateway gives'),
    line('client_body_timeout 30s', 'between two pieces of a body'),
    line('large_client_header_buffers 4 16k', 'gateways take 16 KiB of headers'),
    ...proxying(plan),
    ...pages,
    ...roads(),
    eventStreams(),
    webSocket(),
    ...luaLocations(plan),
    block('location = /metrics', 'Numbers of one gateway, drawn by lot, tell nobody anything: scrape each by itself.', [
      line('return 404', 'and they are not for callers'),
    ]),
    block('location /', 'Everything else goes by its method and key (see the map $forebay_road).', [
      line('try_files /.forebay/none $forebay_road', 'a jump that keeps method, address and body as they are'),
    ]),
    ...locations,
  ])
}

/** For all locations below. */
function proxying({ waitMaxMs }: NginxPlan): Directive[] {
  return [
    line('proxy_http_version 1.1', 'connections to gateways stay open; chunks pass'),
    line('proxy_set_header Connection ""', 'what the caller says of its own connection is not for the gateway'),
    line('proxy_set_header Host $http_host', 'gateways know the name they were called by'),
    line('proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for', 'who called'),
    line('proxy_set_header X-Forwarded-Proto $scheme', 'how they called; traceparent and all else pass untouched'),
    line('proxy_set_header X-Request-Id $request_id', 'one name for a request in all logs'),
    line('add_header X-Request-Id $request_id always', 'the caller learns it too'),
    line(
      `proxy_connect_timeout ${duration(CONNECT_MS)}`,
      'a gateway is near: if it is slow to connect it is not there',
    ),
    line('proxy_send_timeout 30s', 'between two pieces of a body on their way in'),
    line(
      `proxy_read_timeout ${duration(waitMaxMs + WAIT_MARGIN_MS)}`,
      `longest Prefer: wait (http.waitMax) and ${duration(WAIT_MARGIN_MS)}`,
    ),
    line('proxy_request_buffering on', 'slow senders hold nginx, not a gateway; and a body can be sent again'),
    line('proxy_intercept_errors off', "a gateway's own problems pass as they are"),
    line('proxy_next_upstream off', 'nothing is sent twice unless a location below says so'),
    line('proxy_socket_keepalive on', 'connections to a machine that vanished are noticed'),
  ]
}

function roads(): Directive[] {
  return [
    block('location @forebay_once', 'Must not be sent twice.', [
      line(
        'proxy_next_upstream error timeout',
        'another gateway only if nothing was sent yet: nginx never repeats a POST',
      ),
      line(`proxy_pass http://${ONCE}`, 'as it came'),
    ]),
    block('location @forebay_put_once', 'The same for PUT and others that nginx would repeat.', [
      line('proxy_next_upstream off', 'nginx takes PUT for idempotent; handing a task in is not'),
      line(`proxy_pass http://${ONCE}`, 'as it came'),
    ]),
    block('location @forebay_again', 'Reading, and cancelling, may be said twice.', [
      line('proxy_next_upstream error timeout invalid_header http_503', 'not 502 and 504: those are how tasks ended'),
      line(`proxy_pass http://${AGAIN}`, 'as it came'),
    ]),
    block('location @forebay_keyed', 'A key makes a second submission land on the same task.', [
      line('proxy_next_upstream error timeout invalid_header http_503 non_idempotent', 'also a POST that was sent'),
      line(`proxy_pass http://${KEYED}`, 'as it came'),
    ]),
  ]
}

function eventStreams(): Directive {
  return block('location ~ ^/v1/tasks/[^/]+/events$', 'Server-Sent Events: each must leave as it comes.', [
    line('proxy_buffering off', 'events are not gathered'),
    line('proxy_cache off', 'nor kept'),
    line('gzip off', 'nor held back to be compressed'),
    line(`proxy_read_timeout ${duration(SSE_SILENCE_MS)}`, 'three heartbeats of 15 s'),
    line(
      'proxy_next_upstream error timeout invalid_header http_503',
      'until its first byte; then the reader comes back',
    ),
    line(`proxy_pass http://${AGAIN}`, 'as it came'),
  ])
}

function webSocket(): Directive {
  return block('location = /v1/stream', 'WebSocket: many tasks over one connection.', [
    line('proxy_set_header Upgrade $http_upgrade', 'the handshake is between caller and gateway'),
    line('proxy_set_header Connection $forebay_connection', 'upgrade, where the caller asked for it'),
    line('proxy_set_header Host $http_host', 'headers set here take the place of those above'),
    line('proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for', 'as above'),
    line('proxy_set_header X-Forwarded-Proto $scheme', 'as above'),
    line('proxy_set_header X-Request-Id $request_id', 'as above'),
    line('proxy_buffering off', 'messages leave as they come'),
    line(`proxy_read_timeout ${duration(WATCH_SILENCE_MS)}`, 'three heartbeats of 20 s'),
    line(`proxy_send_timeout ${duration(WATCH_SILENCE_MS)}`, 'the same the other way'),
    line('proxy_next_upstream error timeout http_503', 'until the handshake is answered'),
    line(`proxy_pass http://${AGAIN}`, 'as it came'),
  ])
}
