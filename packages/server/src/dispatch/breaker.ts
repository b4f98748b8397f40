import type { Clock, Random } from '@forebay/broker'
import type { BreakerOptions } from '../options.ts'
import { SlidingCount } from './sliding-count.ts'

/**
 * Stops attempts while the target is down, before they are used up on it.
 *
 * - closed: all may begin. A failure opens it when at least `attemptsMin` ended within the window and so large a share
 *   of them failed.
 * - open: none may begin, for `openMs` and up to a fifth more, by chance, so that breakers that opened together do
 *   not try together.
 * - half-open: `probes` attempts may. One that fails opens it again, for twice as long as the time before (up to eight
 *   times `openMs`); when all have succeeded it closes.
 *
 * 'Failed' means for the target's fault; an attempt that says nothing of the target (cancelled, its partition lost) is
 * abandoned.
 */
export class Breaker {
  readonly #options: BreakerOptions
  readonly #clock: Clock
  readonly #random: Random
  #phase: Phase
  #number = 0
  /** How many times in a row it opened without closing between. */
  #opened = 0

  constructor(options: BreakerOptions, clock: Clock, random: Random) {
    this.#options = options
    this.#clock = clock
    this.#random = random
    this.#phase = this.#closed()
  }

  get state(): BreakerState {
    return this.#now().state
  }

  mayBegin(): boolean {
    const phase = this.#now()
    if (phase.state === 'half-open') return phase.out + phase.succeeded < this.#options.probes
    return phase.state === 'closed'
  }

  /**
   * An attempt has begun. Hand what it returns to `ended` or `abandoned`: so an attempt from before an opening does
   * not pass for a probe.
   */
  begun(): BreakerTicket {
    const phase = this.#now()
    if (phase.state === 'half-open') phase.out++
    return this.#number
  }

  /** Without a ticket the attempt counts as one of the state that it ends in. */
  ended(failed: boolean, ticket: BreakerTicket = this.#number): void {
    const phase = this.#now()
    if (ticket !== this.#number) return
    if (phase.state === 'closed') {
      phase.attempts.add()
      if (!failed) return
      phase.failures.add()
      const attempts = phase.attempts.total
      const { attemptsMin, failureShare } = this.#options
      if (attempts >= attemptsMin && phase.failures.total >= attempts * failureShare) this.#open()
    } else if (phase.state === 'half-open') {
      if (failed) this.#open()
      else {
        phase.out = Math.max(0, phase.out - 1)
        if (++phase.succeeded >= this.#options.probes) this.#enter(this.#closed())
      }
    }
  }

  /** An attempt ended without a word on the target; a probe's place is free again. */
  abandoned(ticket: BreakerTicket = this.#number): void {
    const phase = this.#now()
    if (ticket === this.#number && phase.state === 'half-open') phase.out = Math.max(0, phase.out - 1)
  }

  /** Until `mayBegin` can become true by time; 0 when it is, infinite when that hangs on probes that are out. */
  retryInMs(): number {
    const phase = this.#now()
    if (phase.state === 'open') return Math.ceil(phase.untilMs - this.#clock.monotonicMs())
    return this.mayBegin() ? 0 : Number.POSITIVE_INFINITY
  }

  #now(): Phase {
    if (this.#phase.state === 'open' && this.#clock.monotonicMs() >= this.#phase.untilMs) {
      this.#enter({ state: 'half-open', out: 0, succeeded: 0 })
    }
    return this.#phase
  }

  #open(): void {
    const times = Math.min(2 ** this.#opened, OPEN_TIMES_MAX)
    const openMs = this.#options.openMs * times * (1 + OPEN_JITTER * this.#random.unit())
    this.#enter({ state: 'open', untilMs: this.#clock.monotonicMs() + openMs })
    this.#opened++
  }

  #closed(): Phase {
    this.#opened = 0
    const bucketMs = Math.max(1, this.#options.windowMs / BUCKETS)
    const count = () => new SlidingCount(this.#clock, bucketMs, BUCKETS)
    return { state: 'closed', attempts: count(), failures: count() }
  }

  #enter(phase: Phase): void {
    this.#phase = phase
    this.#number++
  }
}

export type BreakerState = 'closed' | 'open' | 'half-open'

/** Of which state an attempt is; each opening, trying and closing makes a new one. */
export type BreakerTicket = number

type Phase =
  | { readonly state: 'closed'; readonly attempts: SlidingCount; readonly failures: SlidingCount }
  | { readonly state: 'open'; readonly untilMs: number }
  | { readonly state: 'half-open'; out: number; succeeded: number }

export const OPEN_TIMES_MAX = 8
export const OPEN_JITTER = 0.2
const BUCKETS = 10
