import type { Clock } from '@forebay/broker'
import type { Shipper } from '../ship.ts'
import type { Spool } from './spool.ts'

/** Carries what a spool holds into the log, in its order, until it is stopped. */
export class SpoolRoad {
  readonly #spool: Spool
  readonly #shipper: Shipper
  readonly #clock: Clock
  readonly #onTrouble: (cause: unknown) => void
  readonly #stopping = new AbortController()
  readonly #giveUp = new AbortController()
  #running: Promise<void> = Promise.resolve()

  constructor(spool: Spool, shipper: Shipper, clock: Clock, onTrouble: (cause: unknown) => void) {
    this.#spool = spool
    this.#shipper = shipper
    this.#clock = clock
    this.#onTrouble = onTrouble
  }

  start(): void {
    this.#running = this.#run()
  }

  /** Ships what is there until `signal` aborts; the rest stays on the disk. */
  async stop(signal: AbortSignal): Promise<void> {
    const giveUp = () => this.#giveUp.abort(signal.reason)
    if (signal.aborted) giveUp()
    else signal.addEventListener('abort', giveUp, { once: true })
    this.#stopping.abort()
    await this.#running
    signal.removeEventListener('abort', giveUp)
  }

  async #run(): Promise<void> {
    while (!this.#giveUp.signal.aborted) {
      try {
        const taken = await this.#spool.take(TAKE_BYTES)
        if (taken !== null) {
          await this.#shipper.ship(taken.records, this.#giveUp.signal)
          await this.#spool.shipped(taken.end)
        } else if (this.#stopping.signal.aborted) return
        else await this.#spool.more(this.#stopping.signal)
      } catch (thrown) {
        if (this.#giveUp.signal.aborted) return
        this.#onTrouble(thrown)
        await this.#clock.sleep(AGAIN_MS, this.#giveUp.signal).catch(() => {})
      }
    }
  }
}

const TAKE_BYTES = 1024 * 1024
/** A disk that cannot be read now. */
const AGAIN_MS = 1_000
