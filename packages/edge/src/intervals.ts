/**
 * Numbers that have been seen, as half-open intervals: few, since what comes is nearly always the next. A consumer keeps
 * one for each source and epoch: rows that come again are known, and gaps show.
 */
export class Intervals {
  /** first, end, first, end, … in order, no two of them touching. */
  readonly #bounds: number[]

  constructor(bounds: readonly number[] = []) {
    this.#bounds = [...bounds]
  }

  /** False when all of [first, end) had been seen; adds it otherwise. */
  add(first: number, end: number): boolean {
    const bounds = this.#bounds
    const last = bounds.length - 1
    if (last > 0 && first === bounds[last]) {
      bounds[last] = Math.max(end, first)
      return end > first
    }
    if (this.has(first, end)) return false
    let from = 0
    while (from < bounds.length && bounds[from + 1]! < first) from += 2
    let to = from
    let [lowest, highest] = [first, end]
    while (to < bounds.length && bounds[to]! <= end) {
      lowest = Math.min(lowest, bounds[to]!)
      highest = Math.max(highest, bounds[to + 1]!)
      to += 2
    }
    bounds.splice(from, to - from, lowest, highest)
    return true
  }

  has(first: number, end: number): boolean {
    for (let at = 0; at < this.#bounds.length; at += 2) {
      if (this.#bounds[at]! <= first && end <= this.#bounds[at + 1]!) return true
    }
    return false
  }

  /** What lies between the intervals; what comes before the first is for the caller to judge. */
  gaps(): readonly { readonly first: number; readonly end: number }[] {
    const gaps: { first: number; end: number }[] = []
    for (let at = 2; at < this.#bounds.length; at += 2) {
      gaps.push({ first: this.#bounds[at - 1]!, end: this.#bounds[at]! })
    }
    return gaps
  }

  /** For the constructor, and for JSON. */
  get bounds(): readonly number[] {
    return this.#bounds
  }
}
