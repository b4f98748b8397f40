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
  readonly #release: (key: string, held: readonly Entry[]) => void
  readonly #busy: () => boolean
  readonly #held = new Map<string, Entry[]>()
  #safeBelow = 0
  #heardMs: number
  #quiet: Timer | null = null

  /**
   * `release` gets what was held of a key, when its line may run. `busy`: the log could not deliver, or what it has
   * delivered is on its way into the store.
   */
  constructor(clock: Clock, release: (key: string, held: readonly Entry[]) => void, busy: () => boolean) {
    this.#clock = clock
    this.#release = release
    this.#busy = busy
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
      this.#release(key, entries)
    }
  }

  /** Keeps rows of the key, and its line, until they are safe. */
  hold(key: string, entries: readonly Entry[]): void {
    const held = this.#held.get(key)
    if (held === undefined) this.#held.set(key, [...entries])
    else held.push(...entries)
    this.#quiet ??= this.#openWhenQuiet()
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

  #openWhenQuiet(): Timer {
    const waitMs = Math.max(1, this.#heardMs + QUIET_MS - this.#clock.monotonicMs())
    return this.#clock.timer(waitMs, () => {
      if (this.#busy()) this.heard()
      if (this.#clock.monotonicMs() - this.#heardMs < QUIET_MS) this.#quiet = this.#openWhenQuiet()
      else this.raise(Number.POSITIVE_INFINITY)
    })
  }
}

/** Longer than a log takes to begin. */
const QUIET_MS = 5_000
