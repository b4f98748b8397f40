import type { Broker, Clock } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import type { Recorder } from '../finish/recorder.ts'
import { RESULTS_TOPIC } from '../topics.ts'

/** How long a reader waits for this process's store to catch up with the log. ms */
export const BARRIER_MAX_MS = 5_000

/**
 * Makes sure that the store has read a lane as far as it reached when the reader came. Readers share requests: one that
 * is under way may have looked before this reader came, so it waits for the next, together with all who came meanwhile.
 */
export class ReadBarrier {
  readonly #broker: Broker
  readonly #recorder: Pick<Recorder, 'appliedTo'>
  readonly #clock: Clock
  #current: Promise<ReadonlyMap<number, number>> | null = null
  #next: Promise<ReadonlyMap<number, number>> | null = null

  constructor(broker: Broker, recorder: Pick<Recorder, 'appliedTo'>, clock: Clock) {
    this.#broker = broker
    this.#recorder = recorder
    this.#clock = clock
  }

  /** Throws STORE_BEHIND. */
  async pass(lane: number): Promise<void> {
    const late = Promise.withResolvers<boolean>()
    const timer = this.#clock.timer(BARRIER_MAX_MS, () => late.resolve(false))
    const passed = await Promise.race([this.#reach(lane), late.promise])
      .catch((thrown: unknown) => {
        throw behind(thrown)
      })
      .finally(() => timer.cancel())
    if (!passed) throw behind(undefined)
  }

  async #reach(lane: number): Promise<boolean> {
    const end = (await this.#ends()).get(lane)
    return end === undefined || this.#recorder.appliedTo(lane, end, BARRIER_MAX_MS)
  }

  #ends(): Promise<ReadonlyMap<number, number>> {
    if (this.#current === null) return this.#begin()
    this.#next ??= this.#current.then(
      () => this.#begin(),
      () => this.#begin(),
    )
    return this.#next
  }

  #begin(): Promise<ReadonlyMap<number, number>> {
    this.#next = null
    const asked = this.#broker
      .inspect({ topics: [RESULTS_TOPIC] })
      // Where retention has emptied a partition there is nothing left to read up to its end.
      .then((states) => new Map(states.map(({ partition, start, end }) => [partition, start === end ? 0 : end])))
      .finally(() => {
        if (this.#current === asked) this.#current = null
      })
    this.#current = asked
    return asked
  }
}

function behind(cause: unknown): ForebayError {
  return new ForebayError(
    'STORE_BEHIND',
    'This gateway cannot make sure right now that it knows the latest of this task; ask again.',
    { cause, retryAfterS: 1 },
  )
}
