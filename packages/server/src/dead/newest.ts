/** The latest few of many, newest first, while they pass by in any order. */
export class Newest<T> {
  readonly #limit: number
  readonly #atMs: (value: T) => number
  #values: T[] = []
  #floorMs = Number.NEGATIVE_INFINITY

  constructor(limit: number, atMs: (value: T) => number) {
    this.#limit = limit
    this.#atMs = atMs
  }

  /** Whether something of this time would be kept: what makes it may cost. */
  wants(atMs: number): boolean {
    return atMs > this.#floorMs
  }

  add(value: T): void {
    this.#values.push(value)
    if (this.#values.length >= this.#limit * 2 + SLACK) this.#cut()
  }

  get(): readonly T[] {
    this.#cut()
    return this.#values
  }

  #cut(): void {
    this.#values.sort((a, b) => this.#atMs(b) - this.#atMs(a))
    if (this.#values.length < this.#limit) return
    this.#values.length = this.#limit
    this.#floorMs = this.#limit === 0 ? Number.POSITIVE_INFINITY : this.#atMs(this.#values.at(-1)!)
  }
}

const SLACK = 64
