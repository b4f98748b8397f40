import type { Clock } from '@forebay/broker'

/**
 * The store's own time: the wall's at the start, and from then on what has passed since. The wall clock may be set
 * while the process runs; nothing then wakes too early or stays too long.
 */
export class StoreClock {
  readonly #clock: Clock
  readonly #startedAtMs: number
  readonly #startedMonotonicMs: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#startedAtMs = clock.wallMs()
    this.#startedMonotonicMs = clock.monotonicMs()
  }

  /** Whole ms since 1970. */
  nowMs(): number {
    return Math.floor(this.#startedAtMs + this.#clock.monotonicMs() - this.#startedMonotonicMs)
  }

  /** Only compared with moments of this run. */
  monotonicMs(): number {
    return this.#clock.monotonicMs()
  }
}
