/** Chance from a seed, so that a run can be asked for again (what real processes make of it differs). */
export interface Dice {
  /** Whole, from 0 up to `limit`, without it. */
  below(limit: number): number
  chance(share: number): boolean
  pick<One>(from: readonly One[]): One
}

/** The mixing steps of SplitMix32. */
export function createDice(seed: number): Dice {
  let state = seed >>> 0
  const unit = () => {
    state = (state + 0x9e3779b9) >>> 0
    let mixed = state ^ (state >>> 16)
    mixed = Math.imul(mixed, 0x21f0aaad)
    mixed ^= mixed >>> 15
    mixed = Math.imul(mixed, 0x735a2d97)
    mixed ^= mixed >>> 15
    return (mixed >>> 0) / 2 ** 32
  }
  return {
    below: (limit) => Math.floor(unit() * limit),
    chance: (share) => unit() < share,
    pick: (from) => from[Math.floor(unit() * from.length)]!,
  }
}
