/** How many handlers run at once, over all topics of a consumer; whoever waits for a place is asked in turn. */
export class HandlerSlots {
  readonly #max: number
  readonly #waiting: (() => void)[] = []
  #running = 0
  #paused = false
  #turn = 0

  constructor(max: number) {
    this.#max = max
  }

  get free(): number {
    return this.#paused ? 0 : this.#max - this.#running
  }

  get running(): number {
    return this.#running
  }

  get paused(): boolean {
    return this.#paused
  }

  set paused(paused: boolean) {
    this.#paused = paused
    this.#offer()
  }

  /** Called when a place may have become free. */
  onFree(call: () => void): void {
    this.#waiting.push(call)
  }

  take(): void {
    this.#running++
  }

  giveBack(): void {
    this.#running--
    this.#offer()
  }

  #offer(): void {
    const { length } = this.#waiting
    this.#turn = (this.#turn + 1) % Math.max(1, length)
    for (let index = 0; index < length && this.free > 0; index++) this.#waiting[(this.#turn + index) % length]!()
  }
}
