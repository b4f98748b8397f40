import type { Clock, Timer } from '@forebay/broker'
import { AttemptAborted } from './handler-errors.ts'

export type CallEnd =
  | { readonly kind: 'succeeded' }
  | { readonly kind: 'threw'; readonly thrown: unknown }
  | { readonly kind: 'called-off'; readonly why: AttemptAborted['why'] }

export interface HandlerCallParts {
  readonly timeoutMs: number
  /** Of the events that it handles, each once: when all have aborted, nobody waits for it. */
  readonly lost: readonly AbortSignal[]
  readonly clock: Clock
  /** Called once. */
  readonly ended: (end: CallEnd) => void
}

/** One call of a handler, until it is known how it ended. */
export class HandlerCall {
  readonly #parts: HandlerCallParts
  readonly #calledOff = new AbortController()
  readonly #lost = () => {
    if (--this.#ownedLeft === 0) this.abort('assignment-lost')
  }
  #ownedLeft: number
  #why: AttemptAborted['why'] | null = null
  #timer: Timer
  #over = false

  constructor(parts: HandlerCallParts) {
    this.#parts = parts
    this.#ownedLeft = parts.lost.length
    this.#timer = parts.clock.timer(parts.timeoutMs, () => this.abort('timed-out'))
    for (const signal of parts.lost) signal.addEventListener('abort', this.#lost, { once: true })
  }

  get signal(): AbortSignal {
    return this.#calledOff.signal
  }

  follow(handled: Promise<unknown>): void {
    void handled.then(
      // Also when it was called off: its effect is there.
      () => this.#conclude({ kind: 'succeeded' }),
      (thrown: unknown) =>
        this.#conclude(this.#why === null ? { kind: 'threw', thrown } : { kind: 'called-off', why: this.#why }),
    )
  }

  /** The handler has `LEAVE_MS` to end; one that does not runs on beside what comes after it. */
  abort(why: AttemptAborted['why']): void {
    if (this.#why !== null || this.#over) return
    this.#why = why
    this.#timer.cancel()
    this.#timer = this.#parts.clock.timer(LEAVE_MS, () => this.#conclude({ kind: 'called-off', why }))
    this.#calledOff.abort(new AttemptAborted(why))
  }

  #conclude(end: CallEnd): void {
    if (this.#over) return
    this.#over = true
    this.#timer.cancel()
    for (const signal of this.#parts.lost) signal.removeEventListener('abort', this.#lost)
    this.#parts.ended(end)
  }
}

/** What a handler has to end in when it is called off. ms */
export const LEAVE_MS = 1_000
