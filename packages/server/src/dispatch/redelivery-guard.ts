import type { Clock, Timer } from '@forebay/broker'
import type { Entry } from './entry.ts'

/**
 * Keeps parked lines back at the begin of an assignment, until the log has delivered again what it may deliver again.
 *
 * Positions are stored a moment after tasks are finished. A dispatcher that dies in that moment leaves records that
 * come again, while later ones of their key are parked: those must not run before, or an old task would run after a
 * newer one (P4). The log delivers in order, so a parked task is safe once something behind it was delivered, and what
 * had to go into the store because of it is there; or where it lies before the position that the group had stored; and
 * when nothing comes, nothing is left to come. An answer of the store is judged by what was safe when it was asked for.
 */
export class RedeliveryGuard {
  readonly #clock: Clock
  readonly #events: RedeliveryGuardEvents
  readonly #held = new Map<string, Entry[]>()
  #safeBelow = 0
  #heardMs: number
  #quiet: Timer | null = null

  constructor(clock: Clock, events: RedeliveryGuardEvents) {
    this.#clock = clock
    this.#events = events
    this.#heardMs = clock.monotonicMs()
  }

  /** What is parked at offsets below may run. */
  get safeBelow(): number {
    return this.#safeBelow
  }

  /** The log has delivered something. */
  heard(): void {
    this.#heardMs = this.#clock.monotonicMs()
  }

  /** Everything below is finished for good; or was delivered, and is in the store if it belongs there. */
  raise(below: number): void {
    if (below <= this.#safeBelow) return
    this.#safeBelow = below
    for (const [key, entries] of this.#held) {
      // One held for its line alone asks again, and is held again if it must be.
      if (entries.some((entry) => entry.record.offset >= below)) continue
      this.#held.delete(key)
      this.#events.release(key, entries)
    }
  }

  /** Keeps rows of the key, and its line, until they are safe. */
  hold(key: string, entries: readonly Entry[]): void {
    const held = this.#held.get(key)
    if (held === undefined) this.#held.set(key, [...entries])
    else held.push(...entries)
    this.#quiet ??= this.#lookAgain()
  }

  /** Takes out what is held of the key: whoever asks for its line must give it back first. */
  letGo(key: string): readonly Entry[] {
    const held = this.#held.get(key) ?? []
    this.#held.delete(key)
    return held
  }

  drop(): void {
    this.#quiet?.cancel()
    this.#quiet = null
    this.#held.clear()
  }

  #lookAgain(): Timer {
    return this.#clock.timer(LOOK_AGAIN_MS, () => {
      if (this.#events.busy()) this.heard()
      if (this.#clock.monotonicMs() - this.#heardMs >= QUIET_MS) this.raise(Number.POSITIVE_INFINITY)
      this.#quiet = this.#held.size > 0 ? this.#lookAgain() : null
      if (this.#held.size > 0) this.#events.askPosition()
    })
  }
}

export interface RedeliveryGuardEvents {
  /** What was held of a key, when its line may run. */
  release(key: string, held: readonly Entry[]): void
  /** The log could not deliver, or what it has delivered is on its way into the store. */
  busy(): boolean
  /** Something is held: what is finished for good may have moved on. */
  askPosition(): void
}

/** Longer than a log takes to begin. */
const QUIET_MS = 5_000
const LOOK_AGAIN_MS = 200
