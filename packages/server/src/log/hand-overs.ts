import type { Clock } from '@forebay/broker'

/** How long the next owner of a partition waits for the last one to have let go of it. ms */
export const HAND_OVER_MAX_MS = 1_000

/**
 * Members at the other end of different connections hear of a change at different times. What the next owner gets is held
 * back until the last one has said that it knows, is gone, or takes too long.
 */
export class HandOvers {
  readonly #clock: Clock
  readonly #under = new Map<string, Promise<void>>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The owner of this is told that it is no longer; returns what to call when it knows. */
  begin(place: string): () => void {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = this.#clock.timer(HAND_OVER_MAX_MS, () => release())
    const release = () => {
      timer.cancel()
      if (this.#under.get(place) === promise) this.#under.delete(place)
      resolve()
    }
    this.#under.set(place, promise)
    return release
  }

  /** Resolves when nobody else has this in its hands. */
  async over(place: string): Promise<void> {
    await this.#under.get(place)
  }
}
