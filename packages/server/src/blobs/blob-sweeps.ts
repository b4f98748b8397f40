import type { Clock, Timer } from '@forebay/broker'
import type { Logger } from 'pino'
import type { BlobStore } from './blob-store.ts'

/** Sweeps soon after the start and then now and then, one sweep at a time; what a sweep meets, the next one tries again. */
export class BlobSweeps {
  readonly #blobs: BlobStore
  readonly #clock: Clock
  readonly #log: Logger
  #timer: Timer | null = null
  #sweeping: Promise<void> = Promise.resolve()
  #stopped = false

  constructor(blobs: BlobStore, clock: Clock, log: Logger) {
    this.#blobs = blobs
    this.#clock = clock
    this.#log = log
    this.#schedule(FIRST_AFTER_MS)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    await this.#sweeping
  }

  #schedule(afterMs: number): void {
    this.#timer = this.#clock.timer(afterMs, () => {
      this.#sweeping = this.#sweep().finally(() => {
        if (!this.#stopped) this.#schedule(INTERVAL_MS)
      })
    })
  }

  async #sweep(): Promise<void> {
    try {
      const { removed } = await this.#blobs.sweep()
      if (removed > 0) this.#log.info({ removed }, 'blobs whose time was over were removed')
    } catch (error) {
      this.#log.debug({ err: error }, 'sweeping blobs failed')
    }
  }
}

const FIRST_AFTER_MS = 60_000
const INTERVAL_MS = 15 * 60_000
