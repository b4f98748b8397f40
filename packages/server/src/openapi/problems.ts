import { ERRORS, type ErrorCode } from '@forebay/protocol'
import { header, type Json, schema } from './json.ts'

/** The closed table of errors as OpenAPI says it: one schema for each status, with the codes that it can carry. */

export function problemSchemas(): Record<string, Json> {
  const schemas: Record<string, Json> = { Problem: problem(CALLER_CODES) }
  for (const [status, codes] of byStatus(CALLER_CODES)) schemas[`Problem${status}`] = problem(codes)
  return schemas
}

/** The answers to a request that can be refused with these codes, and with those that every request can. */
export function problemAnswers(...codes: ErrorCode[]): Record<string, Json> {
  const answers: Record<string, Json> = {}
  for (const [status, some] of byStatus([...new Set([...codes, ...ANY_REQUEST])])) {
    answers[status] = {
      description: some.map((code) => `\`${code}\``).join(', '),
      headers: headersOf(some),
      content: { 'application/problem+json': { schema: schema(`Problem${status}`) } },
    }
  }
  return answers
}

/** How a task can end otherwise than well: the answer to whoever asked for its result. */
export const TASK_END_CODES: readonly ErrorCode[] = [
  'WORKER_FAILED',
  'WORKER_REFUSED',
  'WORKER_LOST',
  'WORKER_PROTOCOL',
  'ATTEMPT_TIMED_OUT',
  'TARGET_UNAVAILABLE',
  'TARGET_REFUSED',
  'RESULT_TOO_LARGE',
  'OUTPUT_TOO_LARGE',
  'WORKER_KILLER',
  'TASK_SKIPPED',
  'TASK_CANCELLED',
  'BLOB_MISSING',
  'TASK_EXPIRED',
  'TASK_UNDECODABLE',
]

/** Of those that a start or a command meets, no caller hears. */
const OPERATOR_CODES: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['CONFIG_INVALID', 'DATA_IN_USE', 'DATA_CORRUPT'])
export const CALLER_CODES = (Object.keys(ERRORS) as ErrorCode[]).filter((code) => !OPERATOR_CODES.has(code))

const ANY_REQUEST: readonly ErrorCode[] = ['BAD_REQUEST', 'BAD_HEADER', 'HEADERS_TOO_LARGE', 'INTERNAL']

function problem(codes: readonly ErrorCode[]): Json {
  return {
    type: 'object',
    description: 'RFC 9457 problem details. Further members say what it is about: the field, the limit, the task.',
    required: ['type', 'title', 'status', 'detail', 'code', 'retryable'],
    properties: {
      type: { type: 'string', description: 'urn:forebay:problem: and the code in lower case.' },
      title: { type: 'string' },
      status: { type: 'integer', description: 'The HTTP status.' },
      detail: { type: 'string', description: 'What is wrong, with the value, and how to mend it.' },
      code: { type: 'string', enum: [...codes], description: 'Stable; go by this one.' },
      retryable: { type: 'boolean', description: 'Whether asking again, unchanged, can succeed.' },
    },
    additionalProperties: true,
  }
}

function byStatus(codes: readonly ErrorCode[]): readonly (readonly [string, readonly ErrorCode[]])[] {
  const found = new Map<string, ErrorCode[]>()
  for (const code of codes) {
    const status = String(ERRORS[code].http)
    found.set(status, [...(found.get(status) ?? []), code])
  }
  return [...found].sort(([a], [b]) => Number(a) - Number(b))
}

function headersOf(codes: readonly ErrorCode[]): Record<string, Json> {
  return {
    ...(codes.some((code) => ERRORS[code].retry && ERRORS[code].http !== 502)
      ? { 'Retry-After': header('RetryAfter') }
      : {}),
    ...(codes.includes('UNAUTHENTICATED') ? { 'WWW-Authenticate': header('Authenticate') } : {}),
  }
}
