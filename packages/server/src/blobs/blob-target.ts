import { type Backoff, backoffMs, type Clock, type Random } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import type { Logger } from 'pino'
import type { Target } from '../execute/target.ts'
import type { Attempt, BlobRef, Outcome } from '../task.ts'
import { blobsNotConfigured } from './blob-errors.ts'
import type { BlobStore } from './blob-store.ts'
import type { BytesGate } from './bytes-gate.ts'

export interface BlobTargetParts {
  readonly target: Target
  /** Null: there is no place for them; a task whose record names one is then given up, with what to mend. */
  readonly blobs: BlobStore | null
  /** Answers larger than this go out of the record. bytes */
  readonly aboveBytes: number
  /** Bodies in memory, over all queues. */
  readonly bodies: BytesGate
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

/**
 * A target for tasks whose bodies, and answers, may lie outside the log. Brings the body before the attempt, and keeps
 * a large answer before it says that the attempt succeeded, so a result's record never names what is not there. Tasks
 * without either go straight through.
 *
 * - The body cannot be got now: BLOB_UNAVAILABLE, and nobody has seen the attempt (`notBegun`).
 * - The body is not there any more: BLOB_MISSING; the task is given up, as no attempt can ever begin.
 * - The answer cannot be kept now: the attempt goes on until it can. It holds its place in the queue's concurrency, so
 *   no more answers come in than there is room for.
 */
export function withBlobs(parts: BlobTargetParts): Target {
  return new BlobTarget(parts)
}

/** Whether an outcome says that the attempt was never handed to anybody, and so does not count. */
export function notBegun(outcome: Outcome): boolean {
  return outcome.kind === 'failed' && outcome.code === 'BLOB_UNAVAILABLE'
}

class BlobTarget implements Target {
  readonly #parts: BlobTargetParts
  readonly #stopped = new AbortController()
  /** Attempts whose bodies are on their way, and those that run with one. */
  readonly #open = new Map<Attempt, Carried>()
  #loading = 0

  constructor(parts: BlobTargetParts) {
    this.#parts = parts
  }

  /** Those whose bodies are on their way are as good as handed over. */
  get capacity(): number {
    return Math.max(0, this.#parts.target.capacity - this.#loading)
  }

  get onCapacity(): () => void {
    return this.#parts.target.onCapacity
  }

  set onCapacity(tell: () => void) {
    this.#parts.target.onCapacity = tell
  }

  run(attempt: Attempt): Promise<Outcome> {
    const { target, blobs, aboveBytes } = this.#parts
    const running = attempt.task.blob === null ? target.run(attempt) : this.#runWithBody(attempt, attempt.task.blob)
    if (blobs === null) return running
    return running.then((outcome) =>
      outcome.kind === 'succeeded' && outcome.payload.length > aboveBytes
        ? this.#keepAnswer(blobs, outcome, attempt)
        : outcome,
    )
  }

  cancel(attempt: Attempt): void {
    const carried = this.#open.get(attempt)
    if (carried === undefined) this.#parts.target.cancel(attempt)
    else if (carried.handedOver !== null) this.#parts.target.cancel(carried.handedOver)
    else carried.cancelled.abort()
  }

  async stop(signal: AbortSignal): Promise<void> {
    const end = () => this.#stopped.abort()
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
    await this.#parts.target.stop(signal)
  }

  async #runWithBody(attempt: Attempt, ref: BlobRef): Promise<Outcome> {
    const { target } = this.#parts
    const carried: Carried = { cancelled: new AbortController(), handedOver: null }
    this.#open.set(attempt, carried)
    this.#loading++
    let body: Body | Outcome
    try {
      body = await this.#load(ref, AbortSignal.any([attempt.lost, this.#stopped.signal, carried.cancelled.signal]))
    } finally {
      this.#loading--
    }
    try {
      if ('kind' in body) return carried.cancelled.signal.aborted ? { kind: 'cancelled' } : body
      if (carried.cancelled.signal.aborted) return { kind: 'cancelled' }
      const { task } = attempt
      const budgetLeftMs = task.acceptedAtMs + task.budgetMs - this.#parts.clock.wallMs()
      if (budgetLeftMs <= 0 || target.capacity <= 0) return TOO_LATE
      const timeoutMs = Math.min(attempt.timeoutMs, budgetLeftMs)
      carried.handedOver = { ...attempt, timeoutMs, task: { ...task, payload: body.bytes } }
      return await target.run(carried.handedOver)
    } finally {
      this.#open.delete(attempt)
      if (!('kind' in body)) body.free()
    }
  }

  async #load(ref: BlobRef, called: AbortSignal): Promise<Body | Outcome> {
    const { blobs, bodies } = this.#parts
    if (blobs === null) return failed(blobsNotConfigured(ref), 'dead')
    let free: (() => void) | null = null
    try {
      free = await bodies.enter(ref.bytes, called)
      const bytes = await blobs.get(ref)
      called.throwIfAborted()
      return { bytes, free }
    } catch (thrown) {
      free?.()
      if (called.aborted) return WITHDRAWN
      if (!(thrown instanceof ForebayError)) throw thrown
      if (thrown.code === 'BLOB_MISSING') return failed(thrown, 'dead')
      return failed(new ForebayError('BLOB_UNAVAILABLE', thrown.message), 'retry')
    }
  }

  async #keepAnswer(blobs: BlobStore, outcome: Succeeded, attempt: Attempt): Promise<Outcome> {
    const { clock, random, log } = this.#parts
    const ended = AbortSignal.any([attempt.lost, this.#stopped.signal])
    for (let tries = 1; ; tries++) {
      try {
        return { ...outcome, payload: EMPTY, blob: await blobs.put(outcome.payload) }
      } catch (error) {
        if (tries === 1) log.warn({ err: error, task: attempt.task.id }, 'a large answer is not kept yet; trying on')
        const waiting = clock.sleep(backoffMs(RETRY, tries, random), ended).then(
          () => true,
          () => false,
        )
        if (!(await waiting)) return { kind: 'worker-lost', message: 'This server stopped before the answer was kept.' }
      }
    }
  }
}

type Succeeded = Extract<Outcome, { readonly kind: 'succeeded' }>

interface Body {
  readonly bytes: Uint8Array
  readonly free: () => void
}

interface Carried {
  readonly cancelled: AbortController
  /** The attempt with its body, as the target knows it; null while the body is on its way. */
  handedOver: Attempt | null
}

function failed({ code, message }: ForebayError, then: 'retry' | 'dead'): Outcome {
  return { kind: 'failed', code, message, then }
}

const WITHDRAWN: Outcome = failed(new ForebayError('BLOB_UNAVAILABLE', 'The attempt was withdrawn.'), 'retry')
const TOO_LATE: Outcome = failed(
  new ForebayError('BLOB_UNAVAILABLE', 'While the body was on its way, the time or the last place ran out.'),
  'retry',
)
const RETRY: Backoff = { firstMs: 50, maxMs: 5_000 }
const EMPTY = new Uint8Array()
