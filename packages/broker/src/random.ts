import { randomFillSync } from 'node:crypto'

/** Chance, handed in everywhere, for the same reason as the clock. */
export interface Random {
  /** Fills with bytes that nobody can guess. */
  fill(bytes: Uint8Array): void
  /** Evenly in [0, 1); for jitter and choices, not for secrets. */
  unit(): number
}

export const systemRandom: Random = {
  fill: fillFromPool,
  unit: () => Math.random(),
}

const pool = new Uint8Array(8192)
let poolUsed = pool.length

/** One call to the kernel's generator serves many small requests. */
function fillFromPool(bytes: Uint8Array): void {
  if (bytes.length > pool.length / 8) {
    randomFillSync(bytes)
    return
  }
  if (poolUsed + bytes.length > pool.length) {
    randomFillSync(pool)
    poolUsed = 0
  }
  bytes.set(pool.subarray(poolUsed, poolUsed + bytes.length))
  pool.fill(0, poolUsed, poolUsed + bytes.length)
  poolUsed += bytes.length
}
