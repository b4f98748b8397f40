/**
 * Time, handed in everywhere: no other file asks the platform. A simulation passes its own clock, so one seed replays
 * a run.
 */
export interface Clock {
  /** Wall time in ms since 1970. May jump; only for what people and records see. */
  wallMs(): number
  /** Grows evenly, never jumps; for every duration. */
  monotonicMs(): number
  /** Calls back once after `delayMs`, unless cancelled before. */
  timer(delayMs: number, callback: () => void): Timer
  /** Resolves after `delayMs`; rejects with the signal's reason when it aborts first. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>
}

export interface Timer {
  /** Safe to call at any time, more than once. */
  cancel(): void
}

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  timer(delayMs, callback) {
    const handle = setTimeout(callback, Math.min(delayMs, TIMER_MAX_MS))
    return { cancel: () => clearTimeout(handle) }
  },
  sleep(delayMs, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const onAbort = () => {
        clearTimeout(handle)
        reject(signal?.reason)
      }
      const handle = setTimeout(
        () => {
          signal?.removeEventListener('abort', onAbort)
          resolve()
        },
        Math.min(delayMs, TIMER_MAX_MS),
      )
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  },
}

/** Node fires timers beyond 2^31 - 1 ms at once. */
const TIMER_MAX_MS = 2 ** 31 - 1
