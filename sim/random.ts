import type { Random } from '@forebay/broker'

/** All chance of a run, from one seed. Each part draws from a stream of its own, so that they do not disturb each other. */
export class SeededRandom implements Random {
  #state: number

  constructor(seed: number | string) {
    this.#state = typeof seed === 'number' ? seed >>> 0 : hashOf(seed)
    // The first draws of near seeds are alike.
    for (let round = 0; round < 4; round++) this.#next()
  }

  stream(name: string): SeededRandom {
    return new SeededRandom((hashOf(name) ^ Math.imul(this.#state, 0x9e3779b1)) >>> 0)
  }

  unit(): number {
    return this.#next() / 2 ** 32
  }

  fill(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at++) bytes[at] = this.#next() & 255
  }

  between(low: number, high: number): number {
    return low + this.unit() * (high - low)
  }

  /** A whole number from `low` to `high`, both included. */
  whole(low: number, high: number): number {
    return low + Math.floor(this.unit() * (high - low + 1))
  }

  chance(probability: number): boolean {
    return this.unit() < probability
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.unit() * items.length)]!
  }

  /** Small numbers often, large ones seldom: as networks are. */
  skewed(low: number, high: number): number {
    const unit = this.unit()
    return low + unit * unit * unit * (high - low)
  }

  shuffle<Item>(items: readonly Item[]): Item[] {
    const shuffled = [...items]
    for (let at = shuffled.length - 1; at > 0; at--) {
      const other = this.whole(0, at)
      ;[shuffled[at], shuffled[other]] = [shuffled[other]!, shuffled[at]!]
    }
    return shuffled
  }

  /** Mulberry32. */
  #next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
}

function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  return hash >>> 0
}
