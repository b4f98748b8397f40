/** What the server may send ahead of its reader, to one stream. bytes */
export const CREDITS_FIRST = 4 * 1024 * 1024

/** Gathers what has been taken, so that credits go back in a few large pieces. */
export class Credits {
  #owed = 0

  /** Returns what to give back now; 0 for nothing. */
  taken(cost: number): number {
    this.#owed += cost
    return this.#owed >= CREDITS_FIRST / 4 ? this.take() : 0
  }

  /** All that is left to give back. */
  take(): number {
    const owed = this.#owed
    this.#owed = 0
    return owed
  }

  /** Another stream begins with what it is given first. */
  reset(): void {
    this.#owed = 0
  }
}
