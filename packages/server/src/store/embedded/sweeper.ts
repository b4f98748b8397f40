import type { Timer } from '@forebay/broker'
import type { ThreadCaller } from '@forebay/broker/embedded'
import type { ResolvedEmbeddedStore } from './options.ts'
import type { StoreCalls } from './store-calls.ts'
import type { StoreClock } from './store-clock.ts'

/** Has old rows removed, slice by slice: between two slices the thread serves whatever came meanwhile. */
export class Sweeper {
  readonly #thread: ThreadCaller<StoreCalls>
  readonly #clock: StoreClock
  readonly #options: ResolvedEmbeddedStore
  #timer: Timer | null = null
  #sweeping: Promise<void> = Promise.resolve()
  #stopped = false

  constructor(thread: ThreadCaller<StoreCalls>, clock: StoreClock, options: ResolvedEmbeddedStore) {
    this.#thread = thread
    this.#clock = clock
    this.#options = options
    this.#schedule()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    await this.#sweeping
  }

  #schedule(): void {
    this.#timer = this.#options.clock.timer(this.#options.sweepIntervalMs, () => {
      this.#sweeping = this.#sweep().finally(() => {
        if (!this.#stopped) this.#schedule()
      })
    })
  }

  async #sweep(): Promise<void> {
    const { retentionMs, notesRetentionMs, retentionBytes } = this.#options
    const nowMs = this.#clock.nowMs()
    const request = {
      nowMs,
      endedBeforeMs: nowMs - retentionMs,
      notedBeforeMs: nowMs - notesRetentionMs,
      bytesMax: retentionBytes,
    }
    try {
      while (!this.#stopped && (await this.#thread.call('sweep', request)).more);
    } catch {
      // Writes meet the same trouble and say so; the next sweep tries again.
    }
  }
}
