import type { Clock } from '@forebay/broker'

/** Dead letters of one queue that one process writes in a second, once `DEAD_LETTERS_BURST` are used up. */
export const DEAD_LETTERS_PER_S = 50
export const DEAD_LETTERS_BURST = 500

/**
 * In an outage every task of a queue would end dead within minutes. Beyond the limit the end of a task waits: it stays
 * unsettled, its partition's window fills, and what comes after it stays in the log, where it is as safe and needs no
 * redrive.
 */
export class FloodLimit {
  readonly #clock: Clock
  readonly #queues = new Map<string, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * Resolves true when the next letter of this queue may be written, false where one of `ends` aborts first. `waits` is told
   * of one that has to wait, and of its end.
   */
  async turn(queue: string, ends: AbortSignal[], waits: (change: 1 | -1) => void = () => {}): Promise<boolean> {
    const waitMs = this.takeTurn(queue)
    if (waitMs === 0) return true
    const ended = AbortSignal.any(ends)
    waits(1)
    await this.#clock.sleep(waitMs, ended).catch(() => {})
    waits(-1)
    return !ended.aborted
  }

  /** How long the next letter of this queue has to wait; 0 for not at all. Its turn is taken by asking. ms */
  takeTurn(queue: string): number {
    const nowMs = this.#clock.monotonicMs()
    const fullAtMs = Math.max(this.#queues.get(queue) ?? 0, nowMs) + INTERVAL_MS
    this.#queues.set(queue, fullAtMs)
    return Math.max(0, fullAtMs - nowMs - DEAD_LETTERS_BURST * INTERVAL_MS)
  }
}

const INTERVAL_MS = 1_000 / DEAD_LETTERS_PER_S
