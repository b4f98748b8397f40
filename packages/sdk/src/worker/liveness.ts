import type { Clock, Timer } from '@forebay/broker'

export interface LivenessEvents {
  /** Nothing was sent for the heartbeat's time: send something. */
  onQuiet(): void
  /** Nothing was heard for the lease's time. */
  onSilent(afterMs: number): void
}

/** Keeps both sides of a session sure that the other is there. */
export class Liveness {
  readonly #clock: Clock
  readonly #events: LivenessEvents
  #heartbeatMs = 0
  #leaseMs: number
  #sentAtMs: number
  #heardAtMs: number
  #heartbeatTimer: Timer | null = null
  #silenceTimer: Timer | null = null
  #stopped = false

  /** Before the first `pace` it only watches for silence, of `firstWordMs`. */
  constructor(clock: Clock, firstWordMs: number, events: LivenessEvents) {
    this.#clock = clock
    this.#events = events
    this.#leaseMs = firstWordMs
    this.#sentAtMs = this.#heardAtMs = clock.monotonicMs()
    this.#watch()
  }

  pace(heartbeatMs: number, leaseMs: number): void {
    this.#heartbeatMs = heartbeatMs
    this.#leaseMs = leaseMs
    this.#beat()
    this.#watch()
  }

  sent(): void {
    this.#sentAtMs = this.#clock.monotonicMs()
  }

  heard(): void {
    this.#heardAtMs = this.#clock.monotonicMs()
  }

  stopBeating(): void {
    this.#heartbeatTimer?.cancel()
  }

  stop(): void {
    this.#stopped = true
    this.#heartbeatTimer?.cancel()
    this.#silenceTimer?.cancel()
  }

  #beat(): void {
    let restMs = this.#sentAtMs + this.#heartbeatMs - this.#clock.monotonicMs()
    if (restMs <= 0) {
      this.#events.onQuiet()
      restMs = this.#heartbeatMs
    }
    this.#heartbeatTimer?.cancel()
    this.#heartbeatTimer = this.#clock.timer(restMs, () => this.#beat())
  }

  #watch(): void {
    this.#silenceTimer?.cancel()
    const restMs = this.#heardAtMs + this.#leaseMs - this.#clock.monotonicMs()
    this.#silenceTimer = this.#clock.timer(Math.max(restMs, 1), () => this.#judge(this.#heardAtMs))
  }

  /** A handler that blocked the event loop must not look like a silent server: first read what came meanwhile. */
  #judge(heardAtMs: number): void {
    setImmediate(() => {
      if (this.#stopped) return
      const silentMs = this.#clock.monotonicMs() - this.#heardAtMs
      if (this.#heardAtMs === heardAtMs && silentMs >= this.#leaseMs) return this.#events.onSilent(this.#leaseMs)
      this.#watch()
    })
  }
}
