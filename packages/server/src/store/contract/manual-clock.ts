import type { Clock, Timer } from '@forebay/broker'

/** Stands still until it is told otherwise. */
export class ManualClock implements Clock {
  #nowMs = START_MS
  #wallAheadMs = 0
  readonly #timers = new Set<Pending>()

  wallMs(): number {
    return this.#nowMs + this.#wallAheadMs
  }

  monotonicMs(): number {
    return this.#nowMs - START_MS
  }

  timer(delayMs: number, callback: () => void): Timer {
    const pending = { dueMs: this.#nowMs + delayMs, callback }
    this.#timers.add(pending)
    return { cancel: () => this.#timers.delete(pending) }
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const onAbort = () => {
        timer.cancel()
        reject(signal?.reason)
      }
      const timer = this.timer(delayMs, () => {
        signal?.removeEventListener('abort', onAbort)
        resolve()
      })
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  /** Moves on and calls back what is due, earliest first. */
  advance(ms: number): void {
    const untilMs = this.#nowMs + ms
    for (;;) {
      const due = [...this.#timers].filter((one) => one.dueMs <= untilMs).sort((a, b) => a.dueMs - b.dueMs)[0]
      if (due === undefined) break
      this.#timers.delete(due)
      this.#nowMs = Math.max(this.#nowMs, due.dueMs)
      due.callback()
    }
    this.#nowMs = untilMs
  }

  /** Somebody sets the wall clock; nothing has passed. */
  setWall(aheadMs: number): void {
    this.#wallAheadMs = aheadMs
  }

  /** Timers that nobody has cancelled. */
  get pending(): number {
    return this.#timers.size
  }
}

const START_MS = 1_700_000_000_000

interface Pending {
  readonly dueMs: number
  readonly callback: () => void
}
