import type { Random } from '../random.ts'

const FIRST_MS = 25
const LONGEST_MS = 1_000

/** Waits that double up to a second, each shortened by chance so that many clients don't come back together. */
export class Backoff {
  readonly #random: Random
  #nextMs = FIRST_MS

  constructor(random: Random) {
    this.#random = random
  }

  nextMs(): number {
    const waitMs = this.#nextMs * (0.5 + this.#random.unit() / 2)
    this.#nextMs = Math.min(this.#nextMs * 2, LONGEST_MS)
    return waitMs
  }

  reset(): void {
    this.#nextMs = FIRST_MS
  }
}
