import type { MessagePort, Transferable, Worker } from 'node:worker_threads'
import { type ErrorCode, type ErrorDetails, ForebayError } from '@forebay/protocol/errors'

/** The calls a thread answers: `{ read: { argument: ReadRequest; result: ReadResult } }`. */
export type Calls = { readonly [name: string]: { readonly argument: unknown; readonly result: unknown } }

export interface ThreadCaller<C extends Calls> {
  /**
   * Resolves with what the thread's handler returned; rejects with what it threw (a ForebayError stays one, any other
   * error keeps message and members such as `errcode`), or with `onLost`'s error once the thread has died. What is
   * listed in `transfer` moves to the thread and must not be used any more.
   */
  call<K extends keyof C & string>(
    name: K,
    argument: C[K]['argument'],
    transfer?: readonly Transferable[],
  ): Promise<C[K]['result']>
  /** Ends the thread without asking it; calls that wait are rejected. */
  terminate(): Promise<void>
}

export interface ThreadCallerOptions {
  /** Told once when the thread dies without having been terminated. */
  readonly onLost?: (error: Error) => void
}

/** The side that asks. One caller per worker; answers may come in any order. */
export function callThread<C extends Calls>(worker: Worker, options: ThreadCallerOptions = {}): ThreadCaller<C> {
  const waiting = new Map<number, Waiting>()
  let lastId = 0
  let lost: Error | null = null
  let terminated = false

  worker.on('message', (answer: Answer) => {
    const one = waiting.get(answer.id)
    if (one === undefined) return
    waiting.delete(answer.id)
    if (answer.error === undefined) one.resolve(answer.result)
    else one.reject(revive(answer.error))
  })
  worker.on('error', (error) => lose(error instanceof Error ? error : new Error(String(error))))
  worker.on('exit', (code) => lose(new Error(`The worker thread ended with exit code ${code}.`)))

  function lose(error: Error): void {
    if (lost !== null) return
    lost = error
    for (const one of waiting.values()) one.reject(error)
    waiting.clear()
    if (!terminated) options.onLost?.(error)
  }

  return {
    call(name, argument, transfer = []) {
      if (lost !== null) return Promise.reject(lost)
      const id = ++lastId
      const { promise, resolve, reject } = Promise.withResolvers<unknown>()
      waiting.set(id, { resolve, reject })
      try {
        worker.postMessage({ id, name, argument } satisfies Question, transfer)
      } catch (error) {
        // The argument cannot be cloned, or a buffer has moved already.
        waiting.delete(id)
        reject(error)
      }
      return promise
    },
    async terminate() {
      terminated = true
      await worker.terminate()
    },
  }
}

/** What a handler returns when buffers of its result shall move instead of being copied. */
export class Transferring<T> {
  readonly result: T
  readonly transfer: readonly Transferable[]

  constructor(result: T, transfer: readonly Transferable[]) {
    this.result = result
    this.transfer = transfer
  }
}

export type Handlers<C extends Calls> = {
  readonly [K in keyof C]: (argument: C[K]['argument']) => C[K]['result'] | Transferring<C[K]['result']>
}

/** The side that answers: each call runs to its end, in the order of the calls. Call it once, in the worker. */
export function answerCalls<C extends Calls>(port: MessagePort, handlers: Handlers<C>): void {
  port.on('message', ({ id, name, argument }: Question) => {
    try {
      const returned = handlers[name]!(argument)
      if (returned instanceof Transferring)
        port.postMessage({ id, result: returned.result } satisfies Answer, [...returned.transfer])
      else port.postMessage({ id, result: returned } satisfies Answer)
    } catch (error) {
      port.postMessage({ id, error: flatten(error) } satisfies Answer)
    }
  })
}

interface Waiting {
  readonly resolve: (result: unknown) => void
  readonly reject: (error: unknown) => void
}

interface Question {
  readonly id: number
  readonly name: string
  readonly argument: unknown
}

interface Answer {
  readonly id: number
  readonly result?: unknown
  readonly error?: FlatError
}

/** Structured cloning keeps neither classes nor the members of errors. */
interface FlatError {
  readonly forebay: { readonly code: ErrorCode; readonly members: NonNullable<ErrorDetails['members']> } | null
  readonly message: string
  readonly stack: string | undefined
  readonly members: Readonly<Record<string, unknown>>
}

function flatten(thrown: unknown): FlatError {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown))
  const forebay = error instanceof ForebayError ? { code: error.code, members: error.members } : null
  const members =
    forebay === null ? Object.fromEntries(Object.entries(error).filter(([, value]) => isPlain(value))) : {}
  return { forebay, message: error.message, stack: error.stack, members }
}

function revive(flat: FlatError): Error {
  const error =
    flat.forebay === null
      ? Object.assign(new Error(flat.message), flat.members)
      : new ForebayError(flat.forebay.code, flat.message, { members: flat.forebay.members })
  if (flat.stack !== undefined) error.stack = flat.stack
  return error
}

function isPlain(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
}
