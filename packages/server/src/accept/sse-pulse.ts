import type { Clock, Timer } from '@forebay/broker'

/** What wants to be looked at again and again, some seconds apart. */
export interface Pulsed {
  /** Where the pulse keeps it; the pulse's own. */
  slot: number
  /** Looks after itself; says after how many ticks it wants to be looked at again, 1 to `TICKS_MAX`. */
  pulse(): number
}

/** Longest time between two looks. ticks */
export const TICKS_MAX = 31
export const TICK_MS = 1_000

/** One timer for all streams of a door: each lies in the slot of the tick that is its next. */
export class SsePulse {
  readonly #clock: Clock
  readonly #slots: Set<Pulsed>[] = Array.from({ length: TICKS_MAX + 1 }, () => new Set())
  #timer: Timer | null = null
  #count = 0
  #now = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Ticks that have passed. */
  get now(): number {
    return this.#now
  }

  add(pulsed: Pulsed, afterTicks: number): void {
    this.#put(pulsed, afterTicks)
    this.#count++
    this.#timer ??= this.#clock.timer(TICK_MS, () => this.#tick())
  }

  /** Safe to call twice. */
  remove(pulsed: Pulsed): void {
    if (!this.#slots[pulsed.slot]!.delete(pulsed)) return
    this.#count--
    if (this.#count > 0) return
    this.#timer?.cancel()
    this.#timer = null
  }

  *all(): Iterable<Pulsed> {
    for (const slot of this.#slots) yield* slot
  }

  #put(pulsed: Pulsed, afterTicks: number): void {
    pulsed.slot = (this.#now + afterTicks) % this.#slots.length
    this.#slots[pulsed.slot]!.add(pulsed)
  }

  #tick(): void {
    this.#now++
    this.#timer = this.#clock.timer(TICK_MS, () => this.#tick())
    const slot = this.#slots[this.#now % this.#slots.length]!
    for (const pulsed of slot) {
      const afterTicks = pulsed.pulse()
      // It may have been removed by its own look.
      if (slot.delete(pulsed)) this.#put(pulsed, afterTicks)
    }
  }
}
