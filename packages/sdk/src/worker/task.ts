import type { Attempt } from '@forebay/protocol'
import { decodeText } from '../body.ts'
import { type AbortWhy, AttemptAborted, FinalError } from './errors.ts'

/**
 * Does one attempt of a task. What it returns, or resolves to, becomes the result: a `Body`, that is bytes, a string, a
 * JSON value, nothing, or `{ body, contentType }`. What it throws makes the attempt fail: `FinalError` and `DeadError` end the task, any other
 * error leaves it to the queue's retry policy.
 */
export type Handler = (task: Task, context: AttemptContext) => unknown

export interface AttemptContext {
  /** Aborts (with an `AttemptAborted`) when nobody waits for the outcome any more. */
  readonly signal: AbortSignal
  /** 1 for the first. */
  readonly attempt: number
}

/** One task as its handler sees it. */
export class Task {
  /** The same for every attempt: use it to make effects once. */
  readonly id: string
  readonly queue: string
  /** The ordering key; null when the task has none. */
  readonly key: string | null
  /** 1 for the first. */
  readonly attempt: number
  readonly contentType: string
  readonly #attempt: Attempt

  constructor(attempt: Attempt) {
    this.id = attempt.taskId
    this.queue = attempt.queue
    this.key = attempt.key ?? null
    this.attempt = attempt.number
    this.contentType = attempt.contentType
    this.#attempt = attempt
  }

  /** Names in lower case; of a name that came twice, the last. */
  get headers(): Readonly<Record<string, string>> {
    const headers: Record<string, string> = Object.create(null)
    for (const { name, value } of this.#attempt.headers) headers[name] = value
    return headers
  }

  /** The request's body as the caller sent it. */
  bytes(): Uint8Array {
    return this.#attempt.payload
  }

  /** The body as UTF-8. */
  text(): string {
    return decodeText(this.#attempt.payload)
  }

  /** The body as JSON. Throws a FinalError when it is none: no retry would mend that. */
  json<T = unknown>(): T {
    try {
      return JSON.parse(this.text()) as T
    } catch (thrown) {
      throw new FinalError(`The task's body is not JSON: ${(thrown as Error).message}`, { cause: thrown })
    }
  }
}

/** One hand-over of a task to this worker. */
export class Run implements AttemptContext {
  readonly lease: number
  readonly task: Task
  #controller: AbortController | null = null
  #aborted: AttemptAborted | null = null

  constructor(attempt: Attempt) {
    this.lease = attempt.lease
    this.task = new Task(attempt)
  }

  get attempt(): number {
    return this.task.attempt
  }

  /** Made when first asked for: most handlers never do. */
  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController()
      if (this.#aborted !== null) this.#controller.abort(this.#aborted)
    }
    return this.#controller.signal
  }

  get aborted(): boolean {
    return this.#aborted !== null
  }

  abort(why: AbortWhy): void {
    if (this.#aborted !== null) return
    this.#aborted = new AttemptAborted(why)
    this.#controller?.abort(this.#aborted)
  }
}
