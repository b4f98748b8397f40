import type { Body } from '../body.ts'
import { durationMs } from '../duration.ts'
import { awaitResult } from './await-result.ts'
import { RequestError } from './errors.ts'
import { type Answer, Exchange } from './exchange.ts'
import { type ClientOptions, type ResolvedClientOptions, resolveClientOptions } from './options.ts'
import { TaskResult, taskFailure } from './result.ts'
import { type SubmitOptions, submitTask } from './submit.ts'
import { readJson, TaskHandle, type WaitOptions, WITHIN_DEFAULT } from './task-handle.ts'

export type { Body, TypedBody } from '../body.ts'
export type { Duration } from '../duration.ts'
export {
  type BadEnd,
  type ProblemBody,
  RequestError,
  type RequestErrorCode,
  RestartedError,
  ResultTimeoutError,
  TaskFailedError,
} from './errors.ts'
export type { ClientOptions, RetryOptions } from './options.ts'
export type { TaskResult } from './result.ts'
export type { SubmitOptions } from './submit.ts'
export type { TaskHandle, WaitOptions } from './task-handle.ts'
export type { TaskState, TaskStatus } from './task-status.ts'
export type { WatchOptions } from './watch.ts'
export type { ChunkEvent, TaskEvent } from './watch-events.ts'

/** What a queue takes and answers, for the compiler only: `createClient<{ sums: { input: number[]; output: number } }>`. */
export interface QueueTypes {
  readonly input: unknown
  readonly output: unknown
}

export type AnyQueues = Record<string, { readonly input: Body; readonly output: unknown }>

export type CallOptions = SubmitOptions & WaitOptions

export interface Client<Queues extends { readonly [Name in keyof Queues]: QueueTypes } = AnyQueues> {
  /**
   * Resolves once the task is kept. Throws RequestError when it was refused or no gateway could be reached.
   * Bytes are sent as they are, strings as UTF-8, anything else as JSON.
   */
  submit<Name extends keyof Queues & string>(
    queue: Name,
    body: Queues[Name]['input'],
    options?: SubmitOptions,
  ): Promise<TaskHandle<Queues[Name]['output']>>
  /** Submits and waits for the result, in one request where the gateway can. Throws as `submit` and `result` do. */
  call<Name extends keyof Queues & string>(
    queue: Name,
    body: Queues[Name]['input'],
    options?: CallOptions,
  ): Promise<TaskResult<Queues[Name]['output']>>
  /** A task that was handed in earlier, or elsewhere. Asks nothing yet. */
  task<Output = unknown>(id: string): TaskHandle<Output>
}

/** Throws a ForebayError CONFIG_INVALID when an option is wrong. Keeps nothing open: there is nothing to close. */
export function createClient<Queues extends { readonly [Name in keyof Queues]: QueueTypes } = AnyQueues>(
  options: ClientOptions,
): Client<Queues> {
  return new HttpClient(resolveClientOptions(options)) as Client<Queues>
}

class HttpClient implements Client {
  readonly #options: ResolvedClientOptions
  readonly #exchange: Exchange

  constructor(options: ResolvedClientOptions) {
    this.#options = options
    this.#exchange = new Exchange(options)
  }

  async submit(queue: string, body: unknown, options: SubmitOptions = {}): Promise<TaskHandle> {
    return this.#accepted(queue, await submitTask(this.#exchange, this.#options, queue, body, options, null))
  }

  async call(queue: string, body: unknown, options: CallOptions = {}): Promise<TaskResult> {
    const withinMs = durationMs(options.within ?? WITHIN_DEFAULT, 'within')
    const sinceMs = this.#options.clock.monotonicMs()
    const waitMs = Math.min(withinMs, POST_WAIT_MS_MAX)
    const wait = { waitMs, timeoutMs: waitMs + ACCEPT_MS, withinMs }
    const answer = await submitTask(this.#exchange, this.#options, queue, body, options, wait).catch((thrown) => {
      throw taskFailure(thrown) ?? thrown
    })
    if (answer.status === 202) {
      const { id } = this.#accepted(queue, answer)
      const rest = { sinceMs, withinMs, signal: options.signal }
      return new TaskResult(id, await awaitResult(this.#exchange, this.#options, id, rest))
    }
    const id = answer.headers.get('forebay-task')
    if (id === null) throw stranger(answer)
    return new TaskResult(id, answer)
  }

  task<Output>(id: string): TaskHandle<Output> {
    return new TaskHandle(this.#exchange, this.#options, { id, queue: null, replayed: false })
  }

  #accepted(queue: string, answer: Answer): TaskHandle {
    const { id } = readJson(answer)
    if (answer.status !== 202 || typeof id !== 'string') throw stranger(answer)
    const replayed = answer.headers.get('idempotent-replayed') === 'true'
    return new TaskHandle(this.#exchange, this.#options, { id, queue, replayed })
  }
}

function stranger({ status }: Answer): RequestError {
  const message = `Answered ${status}, but not as a Forebay gateway does; something else answers at that address.`
  return new RequestError('UNEXPECTED_ANSWER', message, { status, isRetryable: false })
}

/** Shorter than what proxies and gateways let a request wait by default. */
const POST_WAIT_MS_MAX = 25_000
/** How long, beside its wait, a request may take until the task is kept. */
const ACCEPT_MS = 1_000
