/** One small mark for each offset of a partition, 0 where none was set: a kilobyte for 4,096 neighbours. */
export class OffsetMarks {
  readonly #blocks = new Map<number, Uint8Array>()

  get(offset: number): Mark {
    const block = this.#blocks.get(Math.floor(offset / BLOCK))
    if (block === undefined) return 0
    const within = offset % BLOCK
    return ((block[within >> 2]! >> ((within & 3) * 2)) & 3) as Mark
  }

  /** The first mark of an offset stays. */
  mark(offset: number, mark: Mark): void {
    if (this.get(offset) !== 0) return
    const number = Math.floor(offset / BLOCK)
    let block = this.#blocks.get(number)
    if (block === undefined) {
      block = new Uint8Array(BLOCK / 4)
      this.#blocks.set(number, block)
    }
    const within = offset % BLOCK
    block[within >> 2]! |= mark << ((within & 3) * 2)
  }
}

export type Mark = 0 | 1 | 2 | 3

const BLOCK = 4_096
