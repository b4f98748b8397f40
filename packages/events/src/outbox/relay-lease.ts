import type { Clock, Timer } from '@forebay/broker'
import type { OutboxRows } from './outbox-rows.ts'

/**
 * At most one relay is at work, as a rule: one that was paused for longer than its lease may publish what another has
 * published as well. That makes repetitions, with the ids they had, and no other order: each relay publishes what is pending
 * from the lowest number on, and a row stops being pending only when the log has it. So whoever publishes a row has
 * published those before it of its key, or the log had them already: the first time that each event stands in the log is
 * in order, and so it is for whoever counts each id once.
 */
export class RelayLease {
  readonly #rows: OutboxRows
  readonly #owner: string
  readonly #leaseMs: number
  readonly #clock: Clock
  #untilMs = 0
  #renewal: Timer | null = null
  #released = false
  #renewing: Promise<unknown> = Promise.resolve()

  constructor(rows: OutboxRows, owner: string, leaseMs: number, clock: Clock) {
    this.#rows = rows
    this.#owner = owner
    this.#leaseMs = leaseMs
    this.#clock = clock
  }

  get held(): boolean {
    return this.#clock.monotonicMs() < this.#untilMs
  }

  /** From then on it renews itself. Rejects as the database does. */
  async take(): Promise<boolean> {
    if (!(await this.#ask())) return false
    this.#renewLater()
    return true
  }

  /** The end of it: it is not taken again. */
  async release(): Promise<void> {
    this.#released = true
    this.#renewal?.cancel()
    await this.#renewing
    if (this.#untilMs === 0) return
    this.#untilMs = 0
    await this.#rows.release(this.#owner)
  }

  async #ask(): Promise<boolean> {
    const askedMs = this.#clock.monotonicMs()
    const isOurs = await this.#rows.hold(this.#owner, this.#leaseMs)
    this.#untilMs = isOurs ? askedMs + this.#leaseMs : 0
    return isOurs
  }

  /** A renewal that fails is tried again as long as the lease lasts; whoever works sees by `held` that it is over. */
  #renewLater(): void {
    this.#renewal?.cancel()
    if (this.#released) return
    this.#renewal = this.#clock.timer(this.#leaseMs / RENEWALS, () => {
      this.#renewing = this.#ask().then(
        (isOurs) => {
          if (isOurs) this.#renewLater()
        },
        () => {
          if (this.held) this.#renewLater()
        },
      )
    })
  }
}

/** Of one lease: so many of them may fail before it is lost. */
const RENEWALS = 3
