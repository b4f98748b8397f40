/**
 * Bytes that may be on their way at once. Who does not fit waits in line, and nobody goes past the line: so a large one
 * is not starved by small ones, and the order of the calls is the order of the turns. One larger than all the room goes
 * alone.
 */
export class BufferRoom {
  readonly #bytesMax: number
  readonly #waitingMax: number
  #bytes = 0
  readonly #line: Turn[] = []
  /** Turns at the head of the line that were taken already. */
  #taken = 0

  constructor(bytesMax: number, waitingMax: number) {
    this.#bytesMax = bytesMax
    this.#waitingMax = waitingMax
  }

  get waiting(): number {
    return this.#line.length - this.#taken
  }

  get isFull(): boolean {
    return this.waiting >= this.#waitingMax
  }

  /** Null when there is room, which is taken; else resolves when it is. */
  take(bytes: number): Promise<void> | null {
    if (this.waiting === 0 && this.#fits(bytes)) {
      this.#bytes += bytes
      return null
    }
    return new Promise((enter) => this.#line.push({ bytes, enter }))
  }

  giveBack(bytes: number): void {
    this.#bytes -= bytes
    while (this.waiting > 0 && this.#fits(this.#line[this.#taken]!.bytes)) {
      const turn = this.#line[this.#taken++]!
      this.#bytes += turn.bytes
      turn.enter()
    }
    if (this.#taken < COMPACT_AFTER && this.waiting > 0) return
    this.#line.splice(0, this.#taken)
    this.#taken = 0
  }

  #fits(bytes: number): boolean {
    return this.#bytes === 0 || this.#bytes + bytes <= this.#bytesMax
  }
}

interface Turn {
  readonly bytes: number
  enter(): void
}

const COMPACT_AFTER = 1_024
