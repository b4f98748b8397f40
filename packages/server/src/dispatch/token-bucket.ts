import type { Clock } from '@forebay/broker'
import type { Rate } from '../options.ts'

/**
 * Lets through `rate`, times the share of it that falls to this process. Saves up at most one second's worth (one
 * token at least) and begins full; so in any stretch of time at most that and the rate times the stretch go through.
 * By the monotonic clock alone: a jump of the wall clock changes nothing.
 */
export class TokenBucket {
  readonly #perMs: number
  readonly #clock: Clock
  #share = 1
  #tokens: number
  #filledAtMs: number

  constructor(rate: Rate, clock: Clock) {
    this.#perMs = rate.count / rate.perMs
    this.#clock = clock
    this.#tokens = this.#burst
    this.#filledAtMs = clock.monotonicMs()
  }

  get share(): number {
    return this.#share
  }

  /** More than 0, at most 1: owned partitions over all partitions. What was saved up beyond the new burst is gone. */
  set share(share: number) {
    this.#fill()
    this.#share = share
    this.#tokens = Math.min(this.#tokens, this.#burst)
  }

  tryTake(): boolean {
    this.#fill()
    if (this.#tokens < WHOLE) return false
    this.#tokens -= 1
    return true
  }

  /** 0 when one can be taken now. */
  readyInMs(): number {
    this.#fill()
    if (this.#tokens >= WHOLE) return 0
    return Math.ceil((WHOLE - this.#tokens) / (this.#perMs * this.#share))
  }

  get #burst(): number {
    return Math.max(1, this.#perMs * this.#share * 1_000)
  }

  #fill(): void {
    const nowMs = this.#clock.monotonicMs()
    const gained = (nowMs - this.#filledAtMs) * this.#perMs * this.#share
    this.#filledAtMs = nowMs
    this.#tokens = Math.min(this.#burst, this.#tokens + gained)
  }
}

/** One token, as far as sums of fractions can tell. */
const WHOLE = 1 - 1e-9
