import type { SeededRandom } from './random.ts'

/** What becomes of one publish to one partition. */
export type PublishFate =
  | 'kept'
  /** Kept, and appended once more. */
  | 'twice'
  /** Certainly not appended. */
  | 'refused'
  /** The request got lost: not appended, and nobody knows. */
  | 'request-lost'
  /** Appended, and nobody knows. */
  | 'answer-lost'
  /** Appended long after its sender has given up on it. */
  | 'late'

/** What becomes of one call to the store. */
export type StoreFate = 'done' | 'refused' | 'answer-lost' | 'request-lost'

/** What is wrong with the world at the moment; the faults of a run turn these knobs, and healing turns them back. */
export class Weather {
  logDown = false
  storeDown = false
  /** Share of publishes that do not go as they should. */
  publishTrouble = 0
  publishTwice = 0
  storeTrouble = 0
  /** What is published is read later by as much, at most. ms */
  lagMs = 0
  /** Every call takes as much longer, at most. ms */
  slowMs = 0
  /** Processes that do not reach the log's coordinator. */
  readonly cutOff = new Set<string>()
  readonly #random: SeededRandom
  readonly #onFate: (fate: string) => void

  constructor(random: SeededRandom, onFate: (fate: string) => void) {
    this.#random = random
    this.#onFate = onFate
  }

  heal(): void {
    this.logDown = false
    this.storeDown = false
    this.publishTrouble = 0
    this.publishTwice = 0
    this.storeTrouble = 0
    this.lagMs = 0
    this.slowMs = 0
    this.cutOff.clear()
  }

  publish(): PublishFate {
    const random = this.#random
    const fate = this.logDown
      ? random.pick(DOWN)
      : random.chance(this.publishTrouble)
        ? random.pick(TROUBLE)
        : random.chance(this.publishTwice)
          ? 'twice'
          : 'kept'
    if (fate !== 'kept') this.#onFate(`publish ${fate}`)
    return fate
  }

  store(): StoreFate {
    const random = this.#random
    const fate = this.storeDown
      ? random.pick(STORE_DOWN)
      : random.chance(this.storeTrouble)
        ? random.pick(STORE_TROUBLE)
        : 'done'
    if (fate !== 'done') this.#onFate(`store ${fate}`)
    return fate
  }

  /** One way. ms */
  latencyMs(): number {
    return this.#random.skewed(0.1, 6) + (this.slowMs > 0 ? this.#random.between(0, this.slowMs) : 0)
  }

  lag(): number {
    return this.lagMs > 0 ? this.#random.between(0, this.lagMs) : 0
  }
}

const DOWN: readonly PublishFate[] = ['refused', 'request-lost']
const TROUBLE: readonly PublishFate[] = ['refused', 'request-lost', 'answer-lost', 'answer-lost', 'late']
const STORE_DOWN: readonly StoreFate[] = ['refused', 'request-lost']
const STORE_TROUBLE: readonly StoreFate[] = ['refused', 'answer-lost', 'answer-lost', 'request-lost']
