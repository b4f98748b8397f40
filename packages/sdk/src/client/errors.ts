import type { ErrorCode } from '@forebay/protocol'

/**
 * A code of Forebay's table of errors, or one of two that no gateway says: 'UNREACHABLE', no gateway answered (a proxy's
 * 502, 503 or 504 counts as none); 'UNEXPECTED_ANSWER', something else than a gateway did.
 */
export type RequestErrorCode = ErrorCode | 'UNREACHABLE' | 'UNEXPECTED_ANSWER'

export interface RequestErrorDetails {
  readonly status?: number
  readonly isRetryable: boolean
  readonly retryAfterMs?: number
  readonly problem?: ProblemBody
  readonly idempotencyKey?: string
  readonly cause?: unknown
}

/** What a gateway says in application/problem+json. */
export type ProblemBody = Readonly<Record<string, unknown>>

/** A request that was refused or found no gateway. */
export class RequestError extends Error {
  readonly code: RequestErrorCode
  /** Whether asking again, unchanged, can succeed; it was already asked as often as `retry` allows. */
  readonly isRetryable: boolean
  /** Null when nothing answered. */
  readonly status: number | null
  /** When the gateway said how long to hold back. */
  readonly retryAfterMs: number | null
  /** All that the gateway said: the field, the limit, the nearest name. */
  readonly problem: ProblemBody
  /** The task that it is about, where the gateway knew. */
  readonly task: string | null
  /**
   * Of a submit: the key it was sent under. Where the code leaves open whether the task was kept (OUTCOME_UNKNOWN,
   * UNREACHABLE), submitting again under this key lands on the same task.
   */
  readonly idempotencyKey: string | null

  constructor(code: RequestErrorCode, message: string, details: RequestErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'RequestError'
    this.code = code
    this.isRetryable = details.isRetryable
    this.status = details.status ?? null
    this.retryAfterMs = details.retryAfterMs ?? null
    this.problem = details.problem ?? {}
    this.task = typeof this.problem.task === 'string' ? this.problem.task : null
    this.idempotencyKey = details.idempotencyKey ?? null
  }
}

export type BadEnd = 'failed' | 'dead' | 'cancelled' | 'expired'

export function isBadEnd(state: unknown): state is BadEnd {
  return BAD_ENDS.has(state)
}

const BAD_ENDS: ReadonlySet<unknown> = new Set<BadEnd>(['failed', 'dead', 'cancelled', 'expired'])

/** The task came to an end, and that was not `succeeded`. It stays so: this is its one result. */
export class TaskFailedError extends Error {
  readonly id: string
  readonly state: BadEnd
  /** Why, as a code of the table: WORKER_FAILED, ATTEMPT_TIMED_OUT, TASK_EXPIRED, … */
  readonly code: RequestErrorCode
  /** One sentence for a person; the worker's own where it had one. */
  readonly detail: string
  /** Attempts that were made. */
  readonly attempts: number
  /** Whether a new task with the same body may fare better. */
  readonly isRetryable: boolean

  constructor(id: string, state: BadEnd, problem: ProblemBody) {
    const detail = typeof problem.detail === 'string' ? problem.detail : ''
    super(`Task ${id} ended ${state}: ${detail}`)
    this.name = 'TaskFailedError'
    this.id = id
    this.state = state
    this.code = codeOf(problem)
    this.detail = detail
    this.attempts = typeof problem.attempts === 'number' ? problem.attempts : 0
    this.isRetryable = problem.retryable === true
  }
}

/** Another attempt of the task began to speak: the chunks that `chunks()` has given so far are void. Call it again. */
export class RestartedError extends Error {
  readonly id: string
  /** The attempt that speaks now. */
  readonly attempt: number

  constructor(id: string, attempt: number) {
    super(`Task ${id} began anew with attempt ${attempt}; what its chunks said so far is void.`)
    this.name = 'RestartedError'
    this.id = id
    this.attempt = attempt
  }
}

/** The time given to wait is over. The task goes on: `client.task(error.id)` asks again. */
export class ResultTimeoutError extends Error {
  readonly id: string
  readonly withinMs: number
  readonly code = 'RESULT_NOT_READY'
  readonly isRetryable = true

  constructor(id: string, withinMs: number, cause?: unknown) {
    super(`Task ${id} has not ended within ${withinMs} ms; it goes on.`, cause === undefined ? undefined : { cause })
    this.name = 'TimeoutError'
    this.id = id
    this.withinMs = withinMs
  }
}

/** Newer gateways may have codes that this client does not know: they are passed on. */
export function codeOf(problem: ProblemBody): RequestErrorCode {
  return typeof problem.code === 'string' ? (problem.code as ErrorCode) : 'UNEXPECTED_ANSWER'
}
