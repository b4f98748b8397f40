import type { Clock, Random } from '@forebay/broker'
import { notBegun } from '../blobs/blob-target.ts'
import type { QueueOptions } from '../options.ts'
import type { Outcome } from '../task.ts'
import type { QueueMeters } from '../telemetry.ts'
import { Breaker, type BreakerState } from './breaker.ts'
import type { Entry } from './entry.ts'
import { KeyRates } from './key-rates.ts'
import { shareOf } from './partition-share.ts'
import type { PartitionWindow } from './partition-window.ts'
import { RetryBudget } from './retry-budget.ts'
import { TokenBucket } from './token-bucket.ts'

/**
 * Whether one more attempt of the queue may begin: its concurrency and rate, as far as they fall to this dispatcher
 * (by the share of the partitions that it owns), and its breaker. Retries need a place in the budget as well.
 */
export class AttemptGate {
  readonly #queue: QueueOptions
  readonly #meters: QueueMeters
  readonly #rate: TokenBucket | null
  readonly #breaker: Breaker | null
  readonly #budget: RetryBudget
  readonly #clock: Clock
  readonly #keyRates = new WeakMap<PartitionWindow, KeyRates>()
  #concurrency = 0
  #breakerState: BreakerState = 'closed'

  constructor(queue: QueueOptions, clock: Clock, random: Random, meters: QueueMeters) {
    this.#queue = queue
    this.#clock = clock
    this.#meters = meters
    this.#rate = queue.rate === null ? null : new TokenBucket(queue.rate, clock)
    this.#breaker = queue.breaker === null ? null : new Breaker(queue.breaker, clock, random)
    this.#budget = new RetryBudget(queue.retry.budget, clock)
  }

  /** The partitions that this dispatcher owns now, of how many. */
  own(owned: ReadonlySet<number>, partitions: number): void {
    this.#concurrency = shareOf(this.#queue.concurrency, owned, partitions)
    if (this.#rate !== null && owned.size > 0) this.#rate.share = Math.min(1, owned.size / partitions)
  }

  mayBegin(running: number): boolean {
    if (running >= this.#concurrency) return false
    if (this.#rate !== null && this.#rate.readyInMs() > 0) return false
    return this.#breaker === null || this.#breaker.mayBegin()
  }

  /** Until time alone may open it; null when it does not. Call when `mayBegin` said no. */
  opensInMs(running: number): number | null {
    if (running >= this.#concurrency) return null
    const inMs = Math.max(this.#rate?.readyInMs() ?? 0, this.#breaker?.retryInMs() ?? 0)
    return inMs === Number.POSITIVE_INFINITY ? null : inMs
  }

  /** True while the rate of its key keeps it; then `holdForKey` says how long. */
  keyMustWait(entry: Entry): boolean {
    const rates = this.#ratesOf(entry)
    return rates !== null && rates.readyInMs(entry.task.key!) > 0
  }

  /** Until it is its turn among those of its key that wait; `releaseForKey` must follow when it waits no more. */
  holdForKey(entry: Entry): number {
    return this.#ratesOf(entry)!.hold(entry.task.key!)
  }

  releaseForKey(entry: Entry): void {
    this.#ratesOf(entry)!.release(entry.task.key!)
  }

  /** False when so many retries went before that this one has to wait; it may ask again. An operator's word is free. */
  mayRetry(entry: Entry): boolean {
    if (entry.attempts === 0 || entry.wish !== null || this.#budget.tryRetry()) return true
    this.#meters.throttled()
    return false
  }

  /** Call before the attempt is counted. */
  begun(entry: Entry): void {
    if (entry.attempts === 0) this.#budget.firstAttempt()
    this.#rate?.tryTake()
    this.#ratesOf(entry)?.take(entry.task.key!)
    if (this.#breaker !== null) entry.ticket = this.#breaker.begun()
  }

  ended(entry: Entry, outcome: Outcome): void {
    const blame = blameOf(outcome)
    if (entry.attempts > 1 && blame !== true) this.#budget.giveBack()
    if (this.#breaker === null) return
    if (blame === null) this.#breaker.abandoned(entry.ticket)
    else this.#breaker.ended(blame, entry.ticket)
    this.reportBreaker()
  }

  /** Null where its key has no rate. */
  #ratesOf({ window, task }: Entry): KeyRates | null {
    const { rate } = this.#queue.perKey
    if (rate === null || task.key === null) return null
    let rates = this.#keyRates.get(window)
    if (rates === undefined) {
      rates = new KeyRates(rate, this.#clock)
      this.#keyRates.set(window, rates)
    }
    return rates
  }

  reportBreaker(): void {
    if (this.#breaker === null || this.#breaker.state === this.#breakerState) return
    this.#breakerState = this.#breaker.state
    this.#meters.breaker(this.#breakerState)
  }
}

/** Whether the outcome is the target's fault; null when it says nothing of the target. */
function blameOf(outcome: Outcome): boolean | null {
  switch (outcome.kind) {
    case 'succeeded':
      return false
    case 'timed-out':
      return true
    case 'failed':
      if (outcome.code === 'WORKER_LOST' || outcome.code === 'BLOB_MISSING' || notBegun(outcome)) return null
      return outcome.then === 'retry'
    case 'cancelled':
    case 'worker-lost':
      return null
  }
}
