import type { Clock } from '@forebay/broker'

/** Lets through so many a second, on the whole: who was slow for a while may not make up for more than a second. */
export class Pace {
  readonly #clock: Clock
  readonly #perMs: number
  #nextMs: number

  constructor(clock: Clock, perS: number) {
    this.#clock = clock
    this.#perMs = perS / 1_000
    this.#nextMs = clock.monotonicMs()
  }

  async take(count: number, signal: AbortSignal): Promise<void> {
    const nowMs = this.#clock.monotonicMs()
    const beginMs = Math.max(this.#nextMs, nowMs - CATCH_UP_MAX_MS)
    this.#nextMs = beginMs + count / this.#perMs
    if (beginMs > nowMs) await this.#clock.sleep(beginMs - nowMs, signal)
  }
}

/** Records that are published together at this rate: as many as fall into `GROUP_MS`. */
export function groupAt(perS: number): number {
  return Math.max(1, Math.min(GROUP_MAX, Math.floor((perS * GROUP_MS) / 1_000)))
}

const GROUP_MAX = 200
const GROUP_MS = 100
const CATCH_UP_MAX_MS = 1_000
