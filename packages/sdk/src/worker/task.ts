import type { Attempt } from '@forebay/protocol'
import { type Body, decodeText, type EncodedBody } from '../body.ts'
import { type AbortWhy, AttemptAborted, FinalError } from './errors.ts'
import { encodeChunk, type OutputLine, RunOutput } from './run-output.ts'

/**
 * Does one attempt of a task. What it returns, or resolves to, becomes the result: a `Body`, that is bytes, a string, a
 * JSON value, nothing, or `{ body, contentType }`. What it throws makes the attempt fail: `FinalError` and `DeadError` end the task, any other
 * error leaves it to the queue's retry policy.
 *
 * It may be an async generator, or return an async iterable: each `yield` is a chunk of the answer that whoever watches
 * the task gets at once, and what it returns is the result. Where it returns nothing, the result is all chunks joined: JSON
 * values as a JSON array, anything else one after the other with the content type of the first.
 */
export type Handler = (task: Task, context: AttemptContext) => unknown

export interface AttemptContext {
  /** Aborts (with an `AttemptAborted`) when nobody waits for the outcome any more. */
  readonly signal: AbortSignal
  /** 1 for the first. */
  readonly attempt: number
  /**
   * Tells whoever watches the task how far it has come. `fraction` 0 to 1, null where nobody knows; `message` one
   * sentence, cut after 1,024 bytes. Best effort: of several in a short time the last is told.
   */
  progress(fraction: number | null, message?: string): void
  /**
   * Sends a piece of the answer ahead of the result. Resolves once it is on its way, which it is not while too much of
   * this attempt's is on the road and not durable: wait for it before you make the next. Rejects with the signal's
   * `AttemptAborted` when nobody waits for the attempt any more, with a `DeadError` when it is larger than the server
   * takes (256 KiB) or cannot be sent at all, and with an `Error` where the server is too old to take chunks.
   */
  chunk(body: Body): Promise<void>
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
  readonly #run: Pick<AttemptContext, 'progress'>

  constructor(attempt: Attempt, run: Pick<AttemptContext, 'progress'>) {
    this.id = attempt.taskId
    this.queue = attempt.queue
    this.key = attempt.key ?? null
    this.attempt = attempt.number
    this.contentType = attempt.contentType
    this.#attempt = attempt
    this.#run = run
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

  /** The same as `progress` of the handler's context. */
  progress(fraction: number | null, message?: string): void {
    this.#run.progress(fraction, message)
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
  readonly #line: OutputLine
  #output: RunOutput | null = null
  #controller: AbortController | null = null
  #aborted: AttemptAborted | null = null
  #ended = false

  constructor(attempt: Attempt, line: OutputLine) {
    this.lease = attempt.lease
    this.task = new Task(attempt, this)
    this.#line = line
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

  /** A function of its own, as handlers take their context apart. */
  get progress(): (fraction: number | null, message?: string) => void {
    return (fraction, message = '') => this.#openOutput().progress(fraction, message)
  }

  get chunk(): (body: Body) => Promise<void> {
    return (body) => this.#openOutput().chunk(() => encodeChunk(body))
  }

  /** As `chunk` does, but passes a chunk over that the server is too old to take. */
  async sendChunk(encoded: EncodedBody): Promise<void> {
    const output = this.#openOutput()
    if (this.#aborted !== null) throw this.#aborted
    if (output.taken) await output.chunk(() => encoded)
  }

  /** So many of its chunks are durable. */
  kept(chunks: number): void {
    this.#output?.kept(chunks)
  }

  /** Once all its chunks are on their way, or nobody waits for them any more; null when they are. */
  allSent(): Promise<void> | null {
    return this.#output === null ? null : this.#output.allSent()
  }

  abort(why: AbortWhy): void {
    if (this.#aborted !== null) return
    this.#aborted = new AttemptAborted(why)
    this.#output?.end(this.#aborted)
    this.#controller?.abort(this.#aborted)
  }

  /** Its outcome is there: what its handler left behind says nothing more. */
  end(): void {
    this.#ended = true
    this.#output?.end(ended())
  }

  #openOutput(): RunOutput {
    if (this.#output === null) {
      this.#output = new RunOutput(this.#line, this.lease)
      if (this.#aborted !== null) this.#output.end(this.#aborted)
      else if (this.#ended) this.#output.end(ended())
    }
    return this.#output
  }
}

function ended(): Error {
  return new Error('The attempt has ended; nothing more can be said of it.')
}
