/** Thrown by a handler: another attempt may succeed. What any other error says too, plus when. */
export class RetryError extends Error {
  /** Not again before this has passed. 0 leaves it to the group's backoff. ms */
  readonly afterMs: number

  constructor(message: string, { afterMs = 0, ...options }: ErrorOptions & { readonly afterMs?: number } = {}) {
    super(message, options)
    this.name = 'RetryError'
    this.afterMs = afterMs
  }
}

/** Thrown by a handler: no attempt can succeed. The event becomes a dead letter now. */
export class DeadError extends Error {
  constructor(message: string, options: ErrorOptions = {}) {
    super(message, options)
    this.name = 'DeadError'
  }
}

/** One event of a batch that failed: by its index among the events, or by its id. */
export type FailedOfBatch = { readonly error: unknown } & ({ readonly index: number } | { readonly id: string })

/**
 * Thrown by a batch handler: these failed, and the others are done. What is said of each by its `error` is what a handler
 * of one event says by throwing it. One that names nothing that is in the batch says that all failed.
 */
export class BatchError extends Error {
  readonly failed: readonly FailedOfBatch[]

  constructor(message: string, failed: readonly FailedOfBatch[], options: ErrorOptions = {}) {
    super(message, options)
    this.name = 'BatchError'
    this.failed = failed
  }
}

/** The reason of a handler's signal. */
export class AttemptAborted extends Error {
  /** assignment-lost: another member has the event now. stopping: this one's grace time is over; the event comes again. */
  readonly why: 'timed-out' | 'assignment-lost' | 'stopping'

  constructor(why: AttemptAborted['why']) {
    super(`Nobody waits for this attempt any more: ${why}.`)
    this.name = 'AbortError'
    this.why = why
  }
}

export type Refusal =
  | { readonly then: 'dead'; readonly message: string }
  | { readonly then: 'retry'; readonly message: string; readonly afterMs: number }

/**
 * What a handler says by throwing. Known by their names, so that errors of the SDK's worker say the same here; of those
 * FinalError means DeadError, as nobody waits for an answer.
 */
export function refusalOf(thrown: unknown): Refusal {
  if (!(thrown instanceof Error)) return { then: 'retry', message: `The handler threw ${shown(thrown)}.`, afterMs: 0 }
  const message = `${shown(thrown.name)}: ${shown(thrown.message)}`
  if (thrown.name === 'DeadError' || thrown.name === 'FinalError') return { then: 'dead', message }
  const afterMs = 'afterMs' in thrown && typeof thrown.afterMs === 'number' ? thrown.afterMs : 0
  return { then: 'retry', message, afterMs: afterMs > 0 && afterMs < Number.POSITIVE_INFINITY ? afterMs : 0 }
}

/** Anything can be thrown, also what has no text. */
function shown(value: unknown): string {
  try {
    return String(value)
  } catch {
    return typeof value
  }
}
