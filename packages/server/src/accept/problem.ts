import type { ServerResponse } from 'node:http'
import { type ErrorCode, type ForebayError, type Problem, toProblem } from '@forebay/protocol'
import type { TaskView } from '../reply/replies.ts'
import { faultOf } from './task-view.ts'

export const PROBLEM_JSON = 'application/problem+json'

/** An error as a whole response; `extra` are more headers, name and value in turn, `more` further members of the body. */
export function sendProblem(
  response: ServerResponse,
  error: ForebayError,
  extra: readonly string[] = [],
  more: object = {},
): void {
  writeProblem(response, { ...more, ...toProblem(error) }, [...extra, ...hintsFor(error)])
}

/** Headers that help to do better, name and value in turn. */
export function hintsFor(error: ForebayError): string[] {
  const headers: string[] = []
  if (error.code === 'UNAUTHENTICATED') headers.push('WWW-Authenticate', 'Bearer realm="forebay"')
  const retryAfterS = error.retryAfterS ?? (RETRY_SOON.has(error.code) ? RETRY_AFTER_S : undefined)
  if (retryAfterS !== undefined) headers.push('Retry-After', String(Math.ceil(retryAfterS)))
  return headers
}

/** Answers whoever waited for a task that ended otherwise than well. */
export function sendTaskProblem(response: ServerResponse, view: TaskView, extra: readonly string[]): void {
  writeProblem(response, taskProblem(view), extra)
}

export function taskProblem(view: TaskView): Problem {
  return toProblem(faultOf(view))
}

function writeProblem(response: ServerResponse, problem: Problem, headers: readonly string[]): void {
  const body = Buffer.from(JSON.stringify(problem))
  response.writeHead(problem.status, [
    'Content-Type',
    PROBLEM_JSON,
    'Content-Length',
    String(body.length),
    'Cache-Control',
    'no-store',
    ...headers,
  ])
  response.end(body)
}

/** Refusals that pass by themselves. */
const RETRY_SOON: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'IDEMPOTENCY_IN_FLIGHT',
  'RESULT_NOT_READY',
  'OVERLOADED',
  'NOT_ACCEPTED',
  'OUTCOME_UNKNOWN',
  'STORE_BEHIND',
  'STOPPING',
  'BROKER_UNAVAILABLE',
])
const RETRY_AFTER_S = 1
