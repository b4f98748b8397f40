/**
 * Asks that come while others are under way travel together in one of the next calls: of one turn of the event loop all,
 * as far as `groupMax` allows.
 */
export class Gathered<Ask, Answer> {
  readonly #options: GatheredOptions<Ask, Answer>
  #waiting: Waiting<Ask, Answer>[] = []
  #calls = 0
  #begins = false
  #idle: (() => void)[] = []

  constructor(options: GatheredOptions<Ask, Answer>) {
    this.#options = options
  }

  ask(ask: Ask): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ask, resolve, reject })
      if (this.#begins) return
      this.#begins = true
      queueMicrotask(() => {
        this.#begins = false
        this.#begin()
      })
    })
  }

  /** Resolves when nothing waits any more. */
  async idle(): Promise<void> {
    if (this.#waiting.length === 0 && this.#calls === 0) return
    await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  #begin(): void {
    while (this.#waiting.length > 0 && this.#calls < this.#options.callsMax) {
      this.#calls += 1
      void this.#call(this.#waiting.splice(0, this.#options.groupMax))
    }
  }

  async #call(group: readonly Waiting<Ask, Answer>[]): Promise<void> {
    try {
      const answers = await this.#options.call(group.map((one) => one.ask))
      group.forEach((one, index) => {
        one.resolve(answers[index]!)
      })
    } catch (error) {
      for (const one of group) one.reject(error)
    }
    this.#calls -= 1
    this.#begin()
    if (this.#waiting.length > 0 || this.#calls > 0) return
    for (const resolve of this.#idle.splice(0)) resolve()
  }
}

export interface GatheredOptions<Ask, Answer> {
  readonly groupMax: number
  readonly callsMax: number
  /** One answer for each ask, in their order. */
  call(asks: readonly Ask[]): Promise<readonly Answer[]>
}

interface Waiting<Ask, Answer> {
  readonly ask: Ask
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: unknown) => void
}
