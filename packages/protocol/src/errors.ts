/**
 * Every error a caller can meet, as one closed table. Code, HTTP status, gRPC status and "retry?" are its columns;
 * `docs/errors.md` and a test keep to it. `@forebay/protocol/errors` is this file alone: commands and threads that speak no
 * gRPC start without the generated messages.
 */
export const ERRORS = {
  // The request is at fault.
  BAD_REQUEST: { http: 400, grpc: 'INVALID_ARGUMENT', retry: false },
  MALFORMED_JSON: { http: 400, grpc: 'INVALID_ARGUMENT', retry: false },
  BAD_HEADER: { http: 400, grpc: 'INVALID_ARGUMENT', retry: false },
  KEY_MISSING: { http: 400, grpc: 'INVALID_ARGUMENT', retry: false },
  IDEMPOTENCY_KEY_MISSING: { http: 400, grpc: 'INVALID_ARGUMENT', retry: false },
  PARKING_UNAVAILABLE: { http: 501, grpc: 'UNIMPLEMENTED', retry: false },
  CALLBACK_UNAVAILABLE: { http: 501, grpc: 'UNIMPLEMENTED', retry: false },
  DELAY_UNAVAILABLE: { http: 501, grpc: 'UNIMPLEMENTED', retry: false },
  UNAUTHENTICATED: { http: 401, grpc: 'UNAUTHENTICATED', retry: false },
  FORBIDDEN: { http: 403, grpc: 'PERMISSION_DENIED', retry: false },
  QUEUE_NOT_FOUND: { http: 404, grpc: 'NOT_FOUND', retry: false },
  EVENT_NOT_FOUND: { http: 404, grpc: 'NOT_FOUND', retry: false },
  ROUTE_NOT_FOUND: { http: 404, grpc: 'UNIMPLEMENTED', retry: false },
  TASK_NOT_FOUND: { http: 404, grpc: 'NOT_FOUND', retry: false },
  PARKED_NOT_FOUND: { http: 404, grpc: 'NOT_FOUND', retry: false },
  CALLBACK_NOT_FOUND: { http: 404, grpc: 'NOT_FOUND', retry: false },
  DEAD_LETTER_NOT_FOUND: { http: 404, grpc: 'NOT_FOUND', retry: false },
  SCHEMA_NOT_FOUND: { http: 404, grpc: 'NOT_FOUND', retry: false },
  METHOD_NOT_ALLOWED: { http: 405, grpc: 'UNIMPLEMENTED', retry: false },
  NOT_ACCEPTABLE: { http: 406, grpc: 'INVALID_ARGUMENT', retry: false },
  IDEMPOTENCY_IN_FLIGHT: { http: 409, grpc: 'ABORTED', retry: true },
  SCHEMA_INCOMPATIBLE: { http: 409, grpc: 'FAILED_PRECONDITION', retry: false },
  RESULT_NOT_READY: { http: 409, grpc: 'FAILED_PRECONDITION', retry: true },
  TASK_ENDED: { http: 409, grpc: 'FAILED_PRECONDITION', retry: false },
  PARKED_BUSY: { http: 409, grpc: 'ABORTED', retry: true },
  TASK_GONE: { http: 410, grpc: 'NOT_FOUND', retry: false },
  UPGRADE_REQUIRED: { http: 426, grpc: 'UNIMPLEMENTED', retry: false },
  REQUEST_TIMEOUT: { http: 408, grpc: 'DEADLINE_EXCEEDED', retry: true },
  TASK_TOO_LARGE: { http: 413, grpc: 'RESOURCE_EXHAUSTED', retry: false },
  HEADERS_TOO_LARGE: { http: 431, grpc: 'RESOURCE_EXHAUSTED', retry: false },
  EVENT_INVALID: { http: 422, grpc: 'INVALID_ARGUMENT', retry: false },
  CALLBACK_REFUSED: { http: 422, grpc: 'INVALID_ARGUMENT', retry: false },
  SCHEMA_REFUSED: { http: 422, grpc: 'INVALID_ARGUMENT', retry: false },
  SCHEMA_MISMATCH: { http: 422, grpc: 'INVALID_ARGUMENT', retry: false },
  QUERY_REFUSED: { http: 422, grpc: 'INVALID_ARGUMENT', retry: false },
  QUERY_LIMIT: { http: 422, grpc: 'RESOURCE_EXHAUSTED', retry: false },
  LOGS_UNAVAILABLE: { http: 501, grpc: 'UNIMPLEMENTED', retry: false },
  IDEMPOTENCY_MISMATCH: { http: 422, grpc: 'INVALID_ARGUMENT', retry: false },

  // This server can't now; nothing was kept unless the code says otherwise.
  OVERLOADED: { http: 429, grpc: 'RESOURCE_EXHAUSTED', retry: true },
  NOT_ACCEPTED: { http: 503, grpc: 'UNAVAILABLE', retry: true },
  OUTCOME_UNKNOWN: { http: 503, grpc: 'UNAVAILABLE', retry: true },
  STORE_BEHIND: { http: 503, grpc: 'UNAVAILABLE', retry: true },
  STORE_UNAVAILABLE: { http: 503, grpc: 'UNAVAILABLE', retry: true },
  BLOB_UNAVAILABLE: { http: 503, grpc: 'UNAVAILABLE', retry: true },
  REGISTRY_UNAVAILABLE: { http: 503, grpc: 'UNAVAILABLE', retry: true },
  STOPPING: { http: 503, grpc: 'UNAVAILABLE', retry: true },
  BROKER_UNAVAILABLE: { http: 503, grpc: 'UNAVAILABLE', retry: true },
  INTERNAL: { http: 500, grpc: 'INTERNAL', retry: false },

  // How a task can end without succeeding; the HTTP column is the answer to a caller who waited for it.
  WORKER_FAILED: { http: 502, grpc: 'ABORTED', retry: true },
  WORKER_REFUSED: { http: 422, grpc: 'FAILED_PRECONDITION', retry: false },
  WORKER_LOST: { http: 502, grpc: 'UNAVAILABLE', retry: true },
  WORKER_PROTOCOL: { http: 502, grpc: 'INTERNAL', retry: true },
  ATTEMPT_TIMED_OUT: { http: 504, grpc: 'DEADLINE_EXCEEDED', retry: true },
  TARGET_UNAVAILABLE: { http: 502, grpc: 'UNAVAILABLE', retry: true },
  TARGET_REFUSED: { http: 422, grpc: 'FAILED_PRECONDITION', retry: false },
  RESULT_TOO_LARGE: { http: 502, grpc: 'RESOURCE_EXHAUSTED', retry: false },
  OUTPUT_TOO_LARGE: { http: 502, grpc: 'RESOURCE_EXHAUSTED', retry: false },
  WORKER_KILLER: { http: 502, grpc: 'ABORTED', retry: false },
  TASK_SKIPPED: { http: 422, grpc: 'FAILED_PRECONDITION', retry: false },
  TASK_CANCELLED: { http: 409, grpc: 'CANCELLED', retry: false },
  BLOB_MISSING: { http: 502, grpc: 'INTERNAL', retry: false },
  TASK_EXPIRED: { http: 504, grpc: 'DEADLINE_EXCEEDED', retry: false },
  EVENT_UNDECODABLE: { http: 422, grpc: 'INVALID_ARGUMENT', retry: false },
  TASK_UNDECODABLE: { http: 422, grpc: 'INVALID_ARGUMENT', retry: false },

  // The operator's side: configuration and start.
  CONFIG_INVALID: { http: 500, grpc: 'INTERNAL', retry: false },
  DATA_IN_USE: { http: 500, grpc: 'INTERNAL', retry: false },
  DATA_CORRUPT: { http: 500, grpc: 'INTERNAL', retry: false },
  CLOSED: { http: 503, grpc: 'UNAVAILABLE', retry: false },
} as const satisfies Record<string, ErrorRow>

export interface ErrorRow {
  readonly http: number
  readonly grpc: GrpcStatus
  /** Whether asking again, unchanged, can succeed. */
  readonly retry: boolean
}

export type ErrorCode = keyof typeof ERRORS

export type GrpcStatus =
  | 'INVALID_ARGUMENT'
  | 'UNAUTHENTICATED'
  | 'PERMISSION_DENIED'
  | 'CANCELLED'
  | 'NOT_FOUND'
  | 'UNIMPLEMENTED'
  | 'ABORTED'
  | 'FAILED_PRECONDITION'
  | 'RESOURCE_EXHAUSTED'
  | 'UNAVAILABLE'
  | 'INTERNAL'
  | 'DEADLINE_EXCEEDED'

export interface ErrorDetails {
  /** What the error is about, for machines: the field, the limit, the task. Never a secret or a payload. */
  readonly members?: Readonly<Record<string, string | number | boolean | readonly string[]>>
  /** Kept for the log, not for the caller. */
  readonly cause?: unknown
  /** Seconds after which asking again makes sense. */
  readonly retryAfterS?: number
}

/** The one error class. `message` is for the caller: what is wrong, with the value, and how to mend it. */
export class ForebayError extends Error {
  readonly code: ErrorCode
  readonly members: NonNullable<ErrorDetails['members']>
  readonly retryAfterS: number | undefined

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'ForebayError'
    this.code = code
    this.members = details.members ?? {}
    this.retryAfterS = details.retryAfterS
  }
}

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code)
}

/** Turns whatever was thrown into our error, once, at a boundary; a stranger becomes INTERNAL and keeps its cause. */
export function toForebayError(thrown: unknown): ForebayError {
  if (thrown instanceof ForebayError) return thrown
  return new ForebayError('INTERNAL', 'Something went wrong on this server; its log says what.', { cause: thrown })
}

/** RFC 9457 problem details; our own members are `code`, `retryable` and whatever the error is about. */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: ErrorCode
  readonly retryable: boolean
  readonly [member: string]: unknown
}

export function toProblem(error: ForebayError): Problem {
  const row = ERRORS[error.code]
  return {
    type: `urn:forebay:problem:${kebab(error.code)}`,
    title: titleOf(error.code),
    status: row.http,
    detail: error.message,
    ...error.members,
    code: error.code,
    retryable: row.retry,
  }
}

function kebab(code: ErrorCode): string {
  return code.toLowerCase().replaceAll('_', '-')
}

function titleOf(code: ErrorCode): string {
  const words = code.toLowerCase().replaceAll('_', ' ')
  return words.charAt(0).toUpperCase() + words.slice(1)
}
