import type { Clock } from '@forebay/broker'

/**
 * How often something happened lately, in a ring of buckets: `total` covers the bucket that runs and those before it,
 * so between `buckets - 1` and `buckets` times `bucketMs`.
 */
export class SlidingCount {
  readonly #clock: Clock
  readonly #bucketMs: number
  readonly #counts: number[]
  #bucket: number
  #total = 0

  constructor(clock: Clock, bucketMs: number, buckets: number) {
    this.#clock = clock
    this.#bucketMs = bucketMs
    this.#counts = new Array(buckets).fill(0)
    this.#bucket = this.#bucketNow()
  }

  get total(): number {
    this.#roll()
    return this.#total
  }

  add(): void {
    this.#roll()
    const at = this.#bucket % this.#counts.length
    this.#counts[at] = this.#counts[at]! + 1
    this.#total++
  }

  /** One of those counted lately did not happen after all. */
  takeBack(): void {
    this.#roll()
    for (let step = 0; step < this.#counts.length; step++) {
      const at = (this.#bucket + this.#counts.length - step) % this.#counts.length
      if (this.#counts[at]! === 0) continue
      this.#counts[at] = this.#counts[at]! - 1
      this.#total--
      return
    }
  }

  #roll(): void {
    const now = this.#bucketNow()
    const passed = Math.min(now - this.#bucket, this.#counts.length)
    for (let step = 1; step <= passed; step++) {
      const at = (this.#bucket + step) % this.#counts.length
      this.#total -= this.#counts[at]!
      this.#counts[at] = 0
    }
    this.#bucket = now
  }

  #bucketNow(): number {
    return Math.floor(this.#clock.monotonicMs() / this.#bucketMs)
  }
}
