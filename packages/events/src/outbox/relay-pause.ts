import type { Clock } from '@forebay/broker'
import type { OutboxRows } from './outbox-rows.ts'
import type { ResolvedRelay } from './relay-options.ts'

/**
 * How long a relay that found nothing waits: at first it looks again soon, then less and less often. One that listens asks
 * writers for notices before it sleeps for long, and looks once more after asking; a transaction that was written before and
 * commits later is found at the next look, `LISTENING_MS` later at most.
 */
export class RelayPause {
  readonly #rows: OutboxRows
  readonly #clock: Clock
  readonly #pollMs: number
  #delayMs = FIRST_MS
  #asked = false
  #ear: { close(): Promise<void> } | null = null
  #earLost = true
  #earTriedMs = Number.NEGATIVE_INFINITY
  #wake: (() => void) | null = null
  #noticed = false
  #idling = false
  #ended = false

  constructor({ outbox, clock, pollMs }: ResolvedRelay) {
    this.#rows = outbox
    this.#clock = clock
    this.#pollMs = pollMs
  }

  get ended(): boolean {
    return this.#ended
  }

  /** Wakes whoever sleeps, for good. */
  end(): void {
    this.#ended = true
    this.#wake?.()
  }

  /** There was something: more may have come meanwhile. */
  async busy(): Promise<void> {
    this.#delayMs = FIRST_MS
    if (!this.#asked) return
    await this.#rows.askForNotices(false)
    this.#asked = false
  }

  async idle(): Promise<void> {
    const mayListen = this.#delayMs >= this.#pollMs && (await this.#listens())
    if (mayListen && !this.#asked) {
      await this.#rows.askForNotices(true)
      this.#asked = true
      return
    }
    if (!this.#noticed) await this.#idle(mayListen ? LISTENING_MS : Math.min(this.#delayMs, this.#pollMs))
    this.#delayMs = Math.min(this.#delayMs * 2, LISTENING_MS)
    this.#noticed = false
  }

  /** Until the end of it all; notices do not count. */
  async sleep(delayMs: number): Promise<void> {
    if (this.#ended) return
    await new Promise<void>((resolve) => {
      const timer = this.#clock.timer(delayMs, resolve)
      this.#wake = () => {
        timer.cancel()
        resolve()
      }
    })
    this.#wake = null
  }

  async #idle(delayMs: number): Promise<void> {
    this.#idling = true
    await this.sleep(delayMs)
    this.#idling = false
  }

  async close(): Promise<void> {
    await this.#ear?.close()
    this.#ear = null
  }

  /** A connection that broke is made anew, not too often. */
  async #listens(): Promise<boolean> {
    if (this.#rows.listen === null) return false
    if (!this.#earLost) return true
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#earTriedMs < LISTEN_AGAIN_MS) return false
    this.#earTriedMs = nowMs
    await this.close()
    this.#earLost = false
    try {
      this.#ear = await this.#rows.listen(
        () => {
          this.#noticed = true
          if (this.#idling) this.#wake?.()
        },
        () => {
          this.#earLost = true
        },
      )
    } catch {
      // Looking often does as well; the database's own calls say what is wrong with it.
      this.#earLost = true
    }
    return !this.#earLost
  }
}

const FIRST_MS = 10
/** A look now and then all the same. */
const LISTENING_MS = 2_000
const LISTEN_AGAIN_MS = 10_000
