import { type Duration, durationMs } from '../duration.ts'
import { awaitResult } from './await-result.ts'
import { RequestError } from './errors.ts'
import type { Answer, Exchange } from './exchange.ts'
import type { ResolvedClientOptions } from './options.ts'
import { persist } from './persist.ts'
import { TaskResult } from './result.ts'
import { statusOf, type TaskState, type TaskStatus } from './task-status.ts'
import { chunksOf, type WatchOptions, watchTask } from './watch.ts'
import type { ChunkEvent, TaskEvent } from './watch-events.ts'

export interface WaitOptions {
  /** How long to wait; the task goes on after it. Default '60s'. */
  readonly within?: Duration
  readonly signal?: AbortSignal
}

/** A task that a gateway keeps. */
export class TaskHandle<Output = unknown> {
  readonly id: string
  /** Null for a handle made of an id alone. */
  readonly queue: string | null
  /** An earlier submit under the same idempotency key had made this task. */
  readonly replayed: boolean
  readonly #exchange: Exchange
  readonly #options: ResolvedClientOptions

  constructor(
    exchange: Exchange,
    options: ResolvedClientOptions,
    task: { readonly id: string; readonly queue: string | null; readonly replayed: boolean },
  ) {
    this.id = task.id
    this.queue = task.queue
    this.replayed = task.replayed
    this.#exchange = exchange
    this.#options = options
  }

  /**
   * Waits for the end. Throws TaskFailedError when the task did not succeed, ResultTimeoutError when the time is over,
   * RequestError when it cannot be asked for, the signal's reason when that aborts.
   */
  async result({ within = WITHIN_DEFAULT, signal }: WaitOptions = {}): Promise<TaskResult<Output>> {
    const withinMs = durationMs(within, 'within')
    const sinceMs = this.#options.clock.monotonicMs()
    const wait = { sinceMs, withinMs, signal }
    return new TaskResult(this.id, await awaitResult(this.#exchange, this.#options, this.id, wait))
  }

  async state(options: { readonly signal?: AbortSignal } = {}): Promise<TaskState> {
    return (await this.status(options)).state
  }

  /** How the task stands, its state and more. */
  async status({ signal }: { readonly signal?: AbortSignal } = {}): Promise<TaskStatus> {
    return this.#ask('GET', signal)
  }

  /**
   * Ends the task as cancelled: one that waits is not handed out, a running handler's `signal` aborts. Resolves with how
   * it stands once that is final, the same when it was cancelled before. Throws RequestError TASK_ENDED when it has
   * ended otherwise.
   */
  async cancel({ signal }: { readonly signal?: AbortSignal } = {}): Promise<TaskStatus> {
    return this.#ask('DELETE', signal)
  }

  /**
   * Follows the task: how it stands, what it says while it runs, and its end, which is the last event. Goes on over broken
   * connections and from gateway to gateway. Throws RequestError for a task that cannot be followed, and when no gateway was
   * reached for `retry.within`; the signal's reason when that aborts. Leaving the loop closes the connection.
   */
  watch(options: WatchOptions = {}): AsyncGenerator<TaskEvent<Output>, void, undefined> {
    return watchTask<Output>(this.#exchange, this.#options, this.id, options)
  }

  /**
   * The chunks of the task as they come, up to its end. Throws RestartedError when another attempt begins anew after some
   * were given, TaskFailedError when the task does not succeed, and what `watch` throws.
   */
  chunks({ signal }: Omit<WatchOptions, 'after'> = {}): AsyncGenerator<ChunkEvent, void, undefined> {
    return chunksOf(this.id, this.watch(signal === undefined ? {} : { signal }))
  }

  async #ask(method: 'GET' | 'DELETE', signal: AbortSignal | undefined): Promise<TaskStatus> {
    const { retry, timeoutMs } = this.#options
    const path = `/v1/tasks/${encodeURIComponent(this.id)}`
    const answer = await persist(this.#options, { ...retry, signal }, () =>
      this.#exchange.ask({ method, path, headers: {}, timeoutMs, signal }),
    )
    return statusOf(this.id, readJson(answer))
  }
}

export const WITHIN_DEFAULT = '60s'

/** A gateway's own JSON; throws a RequestError when something else answered. */
export function readJson({ status, bytes }: Answer): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString())
    if (typeof value === 'object' && value !== null) return value as Readonly<Record<string, unknown>>
  } catch {
    // Told below.
  }
  const message = `Answered ${status} with something that is not a gateway's JSON.`
  throw new RequestError('UNEXPECTED_ANSWER', message, { status, isRetryable: false })
}
