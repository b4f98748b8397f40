import { type Clock, systemClock } from '@forebay/broker'

/** Sleeps take no time, but are noted, and the clock moves on by them. */
export class HurriedClock implements Clock {
  readonly slept: number[] = []
  #aheadMs = 0

  wallMs(): number {
    return systemClock.wallMs() + this.#aheadMs
  }

  monotonicMs(): number {
    return systemClock.monotonicMs() + this.#aheadMs
  }

  timer(delayMs: number, callback: () => void) {
    return systemClock.timer(delayMs, callback)
  }

  async sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    this.slept.push(delayMs)
    this.#aheadMs += delayMs
  }
}
