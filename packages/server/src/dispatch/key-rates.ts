import type { Clock } from '@forebay/broker'
import type { Rate } from '../options.ts'

/**
 * One rate for each of many keys, as `TokenBucket` has it: in any stretch of time a key begins at most one second's
 * worth (one at least) and the rate times the stretch. No share: a key has one partition, and so one owner; make one
 * for each assignment of a partition.
 *
 * Before an attempt: where `readyInMs` is 0, `take`. Else it has to wait for `hold` ms, then `release`, and ask again.
 *
 * A key costs one number, and that only until its rate is saved up again. Of more than `KEYS_MAX` at a time the one
 * that began longest ago is forgotten: it may then begin earlier than it should.
 */
export class KeyRates {
  readonly #intervalMs: number
  /** What may be saved up beyond one, as time. */
  readonly #aheadMs: number
  readonly #clock: Clock
  /** When all that a key has begun is paid for, monotonic ms; in the order in which they began last. */
  readonly #paidAtMs = new Map<string, number>()
  /** Attempts that wait for their turn. */
  readonly #held = new Map<string, number>()

  constructor(rate: Rate, clock: Clock) {
    this.#intervalMs = rate.perMs / rate.count
    this.#aheadMs = (Math.max(1, (rate.count * 1_000) / rate.perMs) - 1) * this.#intervalMs
    this.#clock = clock
  }

  /** 0 when an attempt of the key may begin now. */
  readyInMs(key: string): number {
    const paidAtMs = this.#paidAtMs.get(key)
    if (paidAtMs === undefined) return 0
    return Math.max(0, Math.ceil(paidAtMs - this.#aheadMs - this.#clock.monotonicMs() - ROUNDING_MS))
  }

  /** An attempt of the key begins. Call when `readyInMs` says 0. */
  take(key: string): void {
    const nowMs = this.#clock.monotonicMs()
    const paidAtMs = Math.max(nowMs, this.#paidAtMs.get(key) ?? 0) + this.#intervalMs
    this.#paidAtMs.delete(key)
    this.#paidAtMs.set(key, paidAtMs)
    this.#forget(nowMs)
  }

  /** How long one more has to wait, behind those of the key that wait already: each has a turn of its own to wake at. */
  hold(key: string): number {
    const before = this.#held.get(key) ?? 0
    this.#held.set(key, before + 1)
    return this.readyInMs(key) + Math.ceil(before * this.#intervalMs)
  }

  /** One that was held waits no more. */
  release(key: string): void {
    const left = (this.#held.get(key) ?? 0) - 1
    if (left > 0) this.#held.set(key, left)
    else this.#held.delete(key)
  }

  /** Keys that are remembered. */
  get size(): number {
    return this.#paidAtMs.size
  }

  #forget(nowMs: number): void {
    for (const [key, paidAtMs] of this.#paidAtMs) {
      if (paidAtMs > nowMs && this.#paidAtMs.size <= KEYS_MAX) return
      this.#paidAtMs.delete(key)
    }
  }
}

export const KEYS_MAX = 100_000
/** Sums of fractions are off by less. */
const ROUNDING_MS = 1e-6
