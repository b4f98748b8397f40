/** Lets one loop sleep until something may have changed; a wake that comes while it is busy is not forgotten. */
export class Wakeup {
  #awake = false
  #resolve: (() => void) | null = null

  wake = (): void => {
    this.#awake = true
    this.#resolve?.()
    this.#resolve = null
  }

  async sleep(): Promise<void> {
    if (!this.#awake) await new Promise<void>((resolve) => (this.#resolve = resolve))
    this.#awake = false
  }
}
