/**
 * The pulling end of something that arrives: `take` gives the next item or null, and `arrived` wakes whoever waits.
 * Serves one reader at a time.
 */
export class Pull<Item> implements AsyncIterator<Item> {
  readonly #take: () => Item | null
  readonly #onReturn: () => Promise<void>
  #waiting: PromiseWithResolvers<IteratorResult<Item>> | null = null
  #waking = false
  #ended = false

  constructor(take: () => Item | null, onReturn: () => Promise<void>) {
    this.#take = take
    this.#onReturn = onReturn
  }

  next(): Promise<IteratorResult<Item>> {
    if (this.#ended) return Promise.resolve({ done: true, value: undefined })
    if (this.#waiting !== null) return Promise.reject(new Error('One pull at a time: the last one has not ended.'))
    const item = this.#take()
    if (item !== null) return Promise.resolve({ done: false, value: item })
    this.#waiting = Promise.withResolvers()
    return this.#waiting.promise
  }

  async return(): Promise<IteratorResult<Item>> {
    await this.#onReturn()
    return { done: true, value: undefined }
  }

  /** Wakes the reader at the end of this turn, so that what arrives together is taken together. */
  arrived(): void {
    if (this.#waiting === null || this.#waking) return
    this.#waking = true
    queueMicrotask(() => {
      this.#waking = false
      if (this.#waiting === null || this.#ended) return
      const item = this.#take()
      if (item === null) return
      const { resolve } = this.#waiting
      this.#waiting = null
      resolve({ done: false, value: item })
    })
  }

  end(): void {
    this.#ended = true
    this.#waiting?.resolve({ done: true, value: undefined })
    this.#waiting = null
  }

  /** Whoever waits is told; later pulls are for the owner to refuse. */
  fail(error: Error): void {
    this.#waiting?.reject(error)
    this.#waiting = null
  }
}
