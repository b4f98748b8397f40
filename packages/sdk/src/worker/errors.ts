/** Thrown by a handler: another attempt may succeed. What any other error says too, plus when. */
export class RetryError extends Error {
  /** Not again before this has passed. 0 leaves it to the queue's backoff. ms */
  readonly afterMs: number

  constructor(message: string, options: { readonly afterMs?: number; readonly cause?: unknown } = {}) {
    super(message, causeOf(options))
    this.name = 'RetryError'
    this.afterMs = options.afterMs ?? 0
  }
}

/** Thrown by a handler: the request itself is at fault. The task ends `failed` now and its caller gets the message. */
export class FinalError extends Error {
  constructor(message: string, options: { readonly cause?: unknown } = {}) {
    super(message, causeOf(options))
    this.name = 'FinalError'
  }
}

/** Thrown by a handler: give up and keep the task for an operator. It ends `dead` now. */
export class DeadError extends Error {
  constructor(message: string, options: { readonly cause?: unknown } = {}) {
    super(message, causeOf(options))
    this.name = 'DeadError'
  }
}

export type AbortWhy =
  /** The attempt took longer than its queue allows. */
  | 'timed-out'
  /** The caller or an operator cancelled the task. */
  | 'cancelled'
  /** The server lost the right to run the task; another one runs it. */
  | 'assignment-lost'
  /** The server refused its chunks: they passed the limits of an attempt. The attempt has ended with that. */
  | 'output-refused'
  /** The session died; the server gives the task to somebody else. */
  | 'connection-lost'
  /** This worker was stopped and its grace time is over. */
  | 'stopping'

/** The reason of a handler's `signal`: whatever it still returns goes nowhere. */
export class AttemptAborted extends Error {
  readonly why: AbortWhy

  constructor(why: AbortWhy) {
    super(`Nobody waits for this attempt any more: ${why}.`)
    this.name = 'AbortError'
    this.why = why
  }
}

function causeOf(options: { readonly cause?: unknown }): ErrorOptions | undefined {
  return options.cause === undefined ? undefined : { cause: options.cause }
}
