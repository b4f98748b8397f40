/** Counts what was asked to be written and what is, in the same order; calls back when all that was asked for is there. */
export class WriteMarks {
  #asked = 0
  #written = 0
  readonly #waiting: { readonly asked: number; readonly then: () => void }[] = []

  get allWritten(): boolean {
    return this.#asked === this.#written
  }

  asked(): void {
    this.#asked++
  }

  wrote(count: number): void {
    this.#written += count
    while (this.#waiting[0] !== undefined && this.#waiting[0].asked <= this.#written) this.#waiting.shift()!.then()
  }

  /** At once where nothing is being written. */
  afterwards(then: () => void): void {
    if (this.allWritten) then()
    else this.#waiting.push({ asked: this.#asked, then })
  }
}
