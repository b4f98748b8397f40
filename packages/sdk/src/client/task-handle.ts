import { type Duration, durationMs } from '../duration.ts'
import { awaitResult } from './await-result.ts'
import { type BadEnd, type ProblemBody, RequestError } from './errors.ts'
import type { Answer, Exchange } from './exchange.ts'
import type { ResolvedClientOptions } from './options.ts'
import { persist } from './persist.ts'
import { TaskResult } from './result.ts'

export interface WaitOptions {
  /** How long to wait; the task goes on after it. Default '60s'. */
  readonly within?: Duration
  readonly signal?: AbortSignal
}

export type TaskState = 'pending' | 'running' | 'retrying' | 'parked' | 'succeeded' | BadEnd

export interface TaskStatus {
  readonly id: string
  readonly queue: string
  readonly state: TaskState
  /** Attempts that are known to have ended or to be under way. */
  readonly attempts: number
  /** How often an operator gave it a new life after it had ended dead. */
  readonly generation: number
  readonly acceptedAt: Date
  /** Null until it has ended. */
  readonly finishedAt: Date | null
  /** Why it ended otherwise than well, or why its last attempt failed. */
  readonly problem: ProblemBody | null
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

  async #ask(method: 'GET' | 'DELETE', signal: AbortSignal | undefined): Promise<TaskStatus> {
    const { retry, timeoutMs } = this.#options
    const path = `/v1/tasks/${encodeURIComponent(this.id)}`
    const answer = await persist(this.#options, { ...retry, signal }, () =>
      this.#exchange.ask({ method, path, headers: {}, timeoutMs, signal }),
    )
    const status = readJson(answer)
    return {
      id: this.id,
      queue: String(status.queue),
      state: status.state as TaskState,
      attempts: Number(status.attempts),
      generation: Number(status.generation ?? 0),
      acceptedAt: new Date(String(status.acceptedAt)),
      finishedAt: typeof status.finishedAt === 'string' ? new Date(status.finishedAt) : null,
      problem: (status.problem as ProblemBody | undefined) ?? null,
    }
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
