import type { SeededRandom } from './random.ts'

/** Something that will happen at a moment of simulated time. */
export interface Planned {
  cancel(): void
}

/**
 * Simulated time: a list of what happens when. One thing happens, then every promise that it resolved runs its course,
 * then the next thing happens. Where moments are equal the seed decides.
 */
export class Schedule {
  nowMs = 0
  /** Things that have happened. */
  steps = 0
  readonly #random: SeededRandom
  readonly #heap: Entry[] = []

  constructor(random: SeededRandom) {
    this.#random = random
  }

  at(ms: number, act: () => void): Planned {
    const entry: Entry = { ms: Math.max(ms, this.nowMs), tie: this.#random.unit(), act }
    this.#push(entry)
    return {
      cancel() {
        entry.act = null
      },
    }
  }

  in(delayMs: number, act: () => void): Planned {
    return this.at(this.nowMs + Math.max(0, delayMs), act)
  }

  /** Runs until nothing is left, `until` holds or the time is over. Rejects with what a step throws. */
  run(untilMs: number, until: () => boolean = () => false): Promise<void> {
    return new Promise((resolve, reject) => {
      const step = () => {
        try {
          if (until()) return resolve()
          const entry = this.#pop(untilMs)
          if (entry === null) {
            this.nowMs = Math.max(this.nowMs, untilMs)
            return resolve()
          }
          this.nowMs = entry.ms
          this.steps++
          entry.act!()
          // Microtasks run when this callback returns, and all of them before the next one begins.
          setImmediate(step)
        } catch (error) {
          reject(error)
        }
      }
      setImmediate(step)
    })
  }

  #pop(untilMs: number): Entry | null {
    const heap = this.#heap
    while (heap.length > 0) {
      const first = heap[0]!
      if (first.act !== null && first.ms > untilMs) return null
      const last = heap.pop()!
      if (heap.length > 0) {
        heap[0] = last
        this.#sink()
      }
      if (first.act !== null) return first
    }
    return null
  }

  #push(entry: Entry): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(entry)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(entry, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = entry
  }

  #sink(): void {
    const heap = this.#heap
    const entry = heap[0]!
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, entry)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = entry
  }
}

interface Entry {
  readonly ms: number
  readonly tie: number
  act: (() => void) | null
}

function isBefore(one: Entry, other: Entry): boolean {
  return one.ms < other.ms || (one.ms === other.ms && one.tie < other.tie)
}
