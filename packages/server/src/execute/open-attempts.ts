import type { Clock, Timer } from '@forebay/broker'
import type { Attempt, Outcome } from '../task.ts'

/** An attempt under way that its target may have to end before its answer is there. */
export interface OpenAttempt {
  readonly attempt: Attempt
  /** Kept by `OpenAttempts`; 0 to begin with. */
  tick: number
  /** Called once at most, and only while it is open: resolve the attempt and call off whoever works on it. */
  cut(why: Cut): void
}

export type Cut = 'timed-out' | 'cancelled' | 'assignment-lost' | 'stopped'

/**
 * The attempts that a target has under way. Ends them when their time is up, when this process loses the right to run
 * them, or when a stop has waited long enough.
 *
 * Built for tens of thousands a second: attempts of one tick share a bucket, all buckets share one timer, and all
 * attempts of one assignment share one listener on its signal.
 */
export class OpenAttempts {
  readonly #clock: Clock
  readonly #buckets = new Map<number, Set<OpenAttempt>>()
  readonly #watched = new WeakSet<AbortSignal>()
  #lastWatched: AbortSignal | null = null
  #timer: Timer | null = null
  #timerTick = Infinity
  #size = 0
  #onIdle: (() => void)[] = []

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get size(): number {
    return this.#size
  }

  add(open: OpenAttempt): void {
    const { timeoutMs, lost } = open.attempt
    // Rounded up: an attempt is never cut before its time. Ticks start above 0, which means "not open".
    const tick = Math.ceil((this.#clock.monotonicMs() + timeoutMs) / TICK_MS) + 1
    open.tick = tick
    const bucket = this.#buckets.get(tick)
    if (bucket === undefined) this.#buckets.set(tick, new Set([open]))
    else bucket.add(open)
    this.#size++
    if (tick < this.#timerTick) this.#arm(tick)
    if (lost !== this.#lastWatched) this.#watch(lost)
  }

  /** The attempt is over; false when it was over before. */
  remove(open: OpenAttempt): boolean {
    const bucket = this.#buckets.get(open.tick)
    if (open.tick === 0 || bucket === undefined) return false
    bucket.delete(open)
    if (bucket.size === 0) this.#buckets.delete(open.tick)
    open.tick = 0
    this.#size--
    if (this.#size === 0) this.#idle()
    return true
  }

  /** Nobody wants its outcome any more. Looks at every open attempt: for rare use. */
  cancel(attempt: Attempt): void {
    this.#cutWhere((open) => open.attempt === attempt, 'cancelled')
  }

  /** Waits until none is open or `signal` aborts, then cuts the rest. Nothing may be added afterwards. */
  async stop(signal: AbortSignal): Promise<void> {
    if (this.#size > 0 && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#onIdle.push(resolve)
      signal.addEventListener('abort', () => resolve(), { once: true })
      await promise
    }
    this.#cutWhere(() => true, 'stopped')
    this.#timer?.cancel()
    this.#timerTick = Infinity
  }

  #watch(lost: AbortSignal): void {
    this.#lastWatched = lost
    if (this.#watched.has(lost)) return
    this.#watched.add(lost)
    lost.addEventListener('abort', () => this.#cutWhere((open) => open.attempt.lost === lost, 'assignment-lost'), {
      once: true,
    })
  }

  #cutWhere(wanted: (open: OpenAttempt) => boolean, why: Cut): void {
    const cut: OpenAttempt[] = []
    for (const bucket of this.#buckets.values()) {
      for (const open of bucket) if (wanted(open)) cut.push(open)
    }
    this.#cutAll(cut, why)
  }

  #cutAll(cut: readonly OpenAttempt[], why: Cut): void {
    // What is called here may end others of the list: only those still open are cut.
    for (const open of cut) if (this.remove(open)) open.cut(why)
  }

  #onTimer(): void {
    this.#timerTick = Infinity
    const now = Math.floor(this.#clock.monotonicMs() / TICK_MS)
    const due: OpenAttempt[] = []
    let next = Infinity
    for (const [tick, bucket] of this.#buckets) {
      if (tick <= now) due.push(...bucket)
      else if (tick < next) next = tick
    }
    if (next < Infinity) this.#arm(next)
    this.#cutAll(due, 'timed-out')
  }

  #arm(tick: number): void {
    this.#timer?.cancel()
    this.#timerTick = tick
    const delayMs = Math.max(1, tick * TICK_MS - this.#clock.monotonicMs() + 1)
    this.#timer = this.#clock.timer(delayMs, () => this.#onTimer())
  }

  #idle(): void {
    const waiting = this.#onIdle
    if (waiting.length === 0) return
    this.#onIdle = []
    for (const resolve of waiting) resolve()
  }
}

/** What an attempt that was cut resolves with. */
export function outcomeOfCut(why: Cut, worker: string): Outcome {
  if (why === 'timed-out' || why === 'cancelled') return { kind: why, worker }
  const message =
    why === 'stopped'
      ? 'The server stopped before the attempt was answered.'
      : 'The server lost its assignment before the attempt was answered.'
  return { kind: 'worker-lost', message, worker }
}

/** An attempt ends at most this late (and two timers' slack). */
const TICK_MS = 25
