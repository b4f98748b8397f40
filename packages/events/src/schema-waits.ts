import type { Clock, Timer } from '@forebay/broker'

/**
 * Events whose schema is still to be fetched. They take no place of a handler, no attempt and no time limit, so those of
 * other schemas go on; a registry that is away is asked again every `AGAIN_MS`, for as long as it takes.
 */
export class SchemaWaits {
  readonly #clock: Clock
  readonly #timers = new Set<Timer>()
  #waiting = 0
  #stopped = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Calls back when to look again: at once when the schema is there. Not after `stop`. */
  async wait(until: Promise<unknown>, lookAgain: () => void): Promise<void> {
    this.#waiting++
    const isThere = await until.then(
      () => true,
      () => false,
    )
    if (!isThere && !this.#stopped) await this.#pause()
    this.#waiting--
    if (!this.#stopped) lookAgain()
  }

  /** Whether something is left waiting. */
  stop(): boolean {
    this.#stopped = true
    for (const timer of this.#timers) timer.cancel()
    return this.#waiting > 0
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#clock.timer(AGAIN_MS, () => {
        this.#timers.delete(timer)
        resolve()
      })
      this.#timers.add(timer)
    })
  }
}

const AGAIN_MS = 1_000
