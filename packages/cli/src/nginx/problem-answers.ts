import { type ErrorCode, ForebayError, toProblem } from '@forebay/protocol/errors'
import { type AnswerPlace, answerLocations, errorPage } from './answer-places.ts'
import { block, type Directive, line } from './directives.ts'
import type { NginxPlan } from './plan.ts'

/**
 * What nginx answers by itself, in the words of the gateways: problem+json with a code of the table, so that clients need
 * to know one kind of error only.
 */
export function problemAnswers(plan: NginxPlan): { readonly pages: Directive[]; readonly locations: Directive[] } {
  const answers = answersOf(plan)
  return {
    pages: answers.map((answer) => errorPage(answer.statuses, answer, answer.status)),
    locations: answers.flatMap((answer) =>
      answerLocations(answer, [
        line('default_type application/problem+json', 'an error of RFC 9457, as from a gateway'),
        line('add_header Cache-Control no-store always', 'true now, perhaps not later'),
        line('add_header X-Request-Id $request_id always', 'by which it is found in the log'),
        ...(answer.retry ? [line('add_header Retry-After 1 always', 'it passes by itself')] : []),
        line(`return ${answer.status} '${answer.body}'`, 'the problem'),
      ]),
    ),
  }
}

interface Answer extends AnswerPlace {
  readonly statuses: string
  readonly status: number
  readonly body: string
  readonly retry: boolean
}

function answersOf({ bodyBytesMax }: NginxPlan): Answer[] {
  const tooLarge = `The body is larger than the ${bodyBytesMax} bytes that any queue takes.`
  return [
    answer(
      '400 497 501 505',
      'bad_request',
      'BAD_REQUEST',
      'This is not a well-formed HTTP request.',
      'what nginx cannot read',
    ),
    answer('404', 'not_here', 'ROUTE_NOT_FOUND', 'There is nothing at this address.', 'what is not for callers'),
    answer('405', 'no_method', 'METHOD_NOT_ALLOWED', 'This method is not for callers.', 'methods that nginx refuses'),
    answer('408', 'too_slow', 'REQUEST_TIMEOUT', 'The request came too slowly.', 'bodies that come too slowly'),
    answer('413', 'too_large', 'TASK_TOO_LARGE', tooLarge, 'bodies that no queue takes'),
    answer(
      '414 431 494',
      'long_headers',
      'HEADERS_TOO_LARGE',
      'Address and headers are too long.',
      'headers that are too long',
    ),
    answer(
      '429',
      'too_many',
      'OVERLOADED',
      'You send more than this server takes of one address.',
      'the limits of one address',
    ),
    answer('500', 'internal', 'INTERNAL', 'Something went wrong in the proxy; its log says what.', 'faults of nginx'),
    unreachable(),
  ]
}

function answer(statuses: string, name: string, code: ErrorCode, detail: string, why: string): Answer {
  const problem = toProblem(new ForebayError(code, detail))
  return {
    statuses,
    name,
    status: problem.status,
    body: quoted(JSON.stringify(problem)),
    retry: RETRY_SOON.has(code),
    early: EARLY.has(code),
    why,
  }
}

const EARLY: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['BAD_REQUEST', 'METHOD_NOT_ALLOWED', 'HEADERS_TOO_LARGE'])
const RETRY_SOON: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['OVERLOADED', 'NOT_ACCEPTED'])

/** Whether a task may have been kept depends on whether a gateway was sent anything. */
function unreachable(): Answer {
  const {
    type: _type,
    title: _title,
    detail: _detail,
    code: _code,
    ...rest
  } = toProblem(new ForebayError('NOT_ACCEPTED', ''))
  const said = {
    type: 'urn:forebay:problem:$forebay_lost_type',
    title: '$forebay_lost_title',
    detail: '$forebay_lost_detail',
  }
  const body = JSON.stringify({ ...said, ...rest, code: '$forebay_lost_code' })
  const why = 'no gateway answered'
  const statuses = '502 503 504'
  return { statuses, name: 'unreachable', status: 503, body: quoted(body), retry: true, early: false, why }
}

/** The words of the last answer, by what was sent to gateways. */
export function lostMaps(): Directive[] {
  const problems = (['NOT_ACCEPTED', 'OUTCOME_UNKNOWN'] as const).map((code) =>
    toProblem(new ForebayError(code, DETAILS[code])),
  )
  const member = (name: 'code' | 'title' | 'detail' | 'type') => {
    const [nothing, something] = problems.map((problem) => problem[name].replace('urn:forebay:problem:', ''))
    return block(`map $forebay_sent $forebay_lost_${name}`, `The ${name} of the problem when no gateway answered.`, [
      line(`default '${nothing}'`, 'nothing was sent: certainly nothing was kept'),
      line(`1 '${something}'`, 'something was sent: it may have been kept'),
    ])
  }
  return [
    block(
      'map "$request_method $upstream_bytes_sent" $forebay_sent',
      'Whether a gateway may have acted on a request whose answer was lost.',
      [
        line('default 0', 'no byte has left'),
        line('"~^(GET|HEAD|OPTIONS) " 0', 'reading changes nothing'),
        line('"~[1-9]" 1', 'one of the tries sent something'),
      ],
    ),
    ...(['type', 'title', 'detail', 'code'] as const).map(member),
  ]
}

const DETAILS = {
  NOT_ACCEPTED: 'No gateway could be reached; nothing was kept. Ask again.',
  OUTCOME_UNKNOWN:
    'The gateway was lost before it answered; the request may have been carried out. Ask again with the same Idempotency-Key.',
}

/** Inside single quotes; the texts are ours and hold none. */
function quoted(text: string): string {
  return text.replaceAll("'", '')
}
