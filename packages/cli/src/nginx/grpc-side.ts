import type { ErrorCode } from '@forebay/protocol'
import { type AnswerPlace, answerLocations, errorPage } from './answer-places.ts'
import { block, type Directive, duration, line } from './directives.ts'
import { CONNECT_MS, type NginxPlan, QUIET_CALL_MS, WAIT_MARGIN_MS, WATCH_SILENCE_MS } from './plan.ts'
import { limits, listening } from './shared-side.ts'
import { GRPC } from './upstreams.ts'

/** The gRPC door for callers. Workers dial each dispatcher themselves: one that is chosen for them would leave others idle. */
export function grpcSide(plan: NginxPlan): Directive {
  const silenceMs = Math.max(plan.waitMaxMs + WAIT_MARGIN_MS, WATCH_SILENCE_MS)
  return block('server', 'The gRPC door.', [
    ...listening(plan, plan.grpcListen, 'callers over gRPC', 'grpc'),
    ...limits(plan),
    line(`client_max_body_size ${plan.bodyBytesMax + MESSAGE_BYTES}`, 'the largest bodyMax and what stands around it'),
    line('client_body_timeout 60s', 'between two pieces of a message'),
    line(`grpc_connect_timeout ${duration(CONNECT_MS)}`, 'a gateway is near: if it is slow to connect it is not there'),
    line('grpc_socket_keepalive on', 'connections to a machine that vanished are noticed'),
    line(
      `grpc_read_timeout ${duration(silenceMs)}`,
      'longest wait (http.waitMax) and a margin; Watch says something every 20 s',
    ),
    line(`grpc_send_timeout ${duration(silenceMs)}`, 'the same the other way'),
    line(
      'grpc_next_upstream error timeout',
      'another gateway only if nothing was sent yet: every call of gRPC is a POST',
    ),
    line('grpc_set_header X-Request-Id $request_id', 'one name for a call in all logs; traceparent passes untouched'),
    line('add_header X-Request-Id $request_id always', 'the caller learns it too'),
    line('grpc_intercept_errors off', "a gateway's own errors pass as they are"),
    ...ANSWERS.map((answer) => errorPage(answer.statuses, answer, 200)),
    block('location /', 'TaskService, health and reflection.', [line(`grpc_pass grpc://${GRPC}`, 'as it came')]),
    quiet('SubmitAndWait', "Waits as long as the call's own deadline lets it.", []),
    quiet('SubmitStream', 'Tasks as they come, for as long as the caller likes.', [
      line('client_max_body_size 0', 'all its messages together are no body; gateways look at each'),
      line(`client_body_timeout ${duration(QUIET_CALL_MS)}`, 'nothing to submit for a while is no fault'),
    ]),
    block('location /forebay.worker.v1.', 'Workers dial each dispatcher themselves.', [line('return 404', 'not here')]),
    ...ANSWERS.flatMap(answerOf),
  ])
}

/** What a message has beside the task's own bytes: names, keys, trace. */
const MESSAGE_BYTES = 16_384

function quiet(method: string, why: string, more: readonly Directive[]): Directive {
  return block(`location = /forebay.task.v1.TaskService/${method}`, why, [
    line(`grpc_read_timeout ${duration(QUIET_CALL_MS)}`, "the call's deadline ends it before this does"),
    line(`grpc_send_timeout ${duration(QUIET_CALL_MS)}`, 'the same the other way'),
    ...more,
    line(`grpc_pass grpc://${GRPC}`, 'as it came'),
  ])
}

interface Answer extends AnswerPlace {
  readonly statuses: string
  /** Of gRPC. */
  readonly status: number
  readonly code: ErrorCode | '$forebay_lost_code'
}

/** Callers of gRPC read headers, not HTML. */
const ANSWERS: readonly Answer[] = [
  answer('400 501 505', 'grpc_bad_request', 3, 'BAD_REQUEST', 'not a well-formed request', true),
  answer('404 405', 'grpc_refused', 12, 'ROUTE_NOT_FOUND', 'there is nothing at this address', true),
  answer('414 431 494', 'grpc_long_headers', 8, 'HEADERS_TOO_LARGE', 'address and headers are too long', true),
  answer('413', 'grpc_too_large', 8, 'TASK_TOO_LARGE', 'larger than any queue takes'),
  answer('429', 'grpc_limited', 8, 'OVERLOADED', 'more than this server takes of one address'),
  answer('500 502 503 504', 'grpc_lost', 14, '$forebay_lost_code', 'no gateway answered'),
]

function answer(
  statuses: string,
  name: string,
  status: number,
  code: ErrorCode | '$forebay_lost_code',
  why: string,
  early = false,
): Answer {
  return { statuses, name, status, code, why, early }
}

function answerOf(answer: Answer): Directive[] {
  const { status, code, why } = answer
  return answerLocations(answer, [
    line('default_type application/grpc', 'an answer without messages'),
    line(`add_header grpc-status ${status} always`, 'as a gateway would say it'),
    line(`add_header grpc-message "${why}" always`, 'for people'),
    line(`add_header forebay-error ${code} always`, 'the code of the table'),
    line('add_header X-Request-Id $request_id always', 'by which it is found in the log'),
    line("return 200 ''", 'gRPC errors are in the headers'),
  ])
}
