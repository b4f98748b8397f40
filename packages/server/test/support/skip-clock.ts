import { type Clock, systemClock, type Timer } from '@forebay/broker'

/** The system's clock, which a test can move ahead: what is due by then is called back at once. */
export class SkipClock implements Clock {
  #skippedMs = 0
  readonly #timers = new Set<Pending>()

  wallMs(): number {
    return systemClock.wallMs() + this.#skippedMs
  }

  monotonicMs(): number {
    return systemClock.monotonicMs() + this.#skippedMs
  }

  timer(delayMs: number, callback: () => void): Timer {
    const pending: Pending = { dueMs: this.monotonicMs() + delayMs, callback, timer: null }
    this.#timers.add(pending)
    this.#arm(pending)
    return {
      cancel: () => {
        pending.timer?.cancel()
        this.#timers.delete(pending)
      },
    }
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

  skip(ms: number): void {
    this.#skippedMs += ms
    for (const pending of [...this.#timers].sort((one, other) => one.dueMs - other.dueMs)) {
      pending.timer?.cancel()
      this.#arm(pending)
    }
  }

  #arm(pending: Pending): void {
    const leftMs = Math.max(0, pending.dueMs - this.monotonicMs())
    pending.timer = systemClock.timer(leftMs, () => {
      this.#timers.delete(pending)
      pending.callback()
    })
  }
}

interface Pending {
  readonly dueMs: number
  readonly callback: () => void
  timer: Timer | null
}
