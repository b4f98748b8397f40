/** First in, first out, without moving what is behind the head; memory follows what is in it. */
export class Fifo<Entry> {
  #entries: (Entry | undefined)[] = []
  #head = 0

  get length(): number {
    return this.#entries.length - this.#head
  }

  push(entry: Entry): void {
    this.#entries.push(entry)
  }

  shift(): Entry | undefined {
    if (this.#head === this.#entries.length) return undefined
    const entry = this.#entries[this.#head]
    this.#entries[this.#head++] = undefined
    if (this.#head >= COMPACT_AT && this.#head * 2 >= this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head)
      this.#head = 0
    }
    return entry
  }

  /** Takes out every entry for which `condition` holds, in order. */
  takeWhere(condition: (entry: Entry) => boolean): Entry[] {
    const taken: Entry[] = []
    const kept: Entry[] = []
    for (let at = this.#head; at < this.#entries.length; at++) {
      const entry = this.#entries[at]!
      if (condition(entry)) taken.push(entry)
      else kept.push(entry)
    }
    this.#entries = kept
    this.#head = 0
    return taken
  }
}

const COMPACT_AT = 1_024
