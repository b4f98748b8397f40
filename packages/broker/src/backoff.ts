import type { Random } from './random.ts'

export interface Backoff {
  readonly firstMs: number
  readonly maxMs: number
}

/** Doubles with each failure and takes a random part of it, so that many who failed together do not return together. */
export function backoffMs(backoff: Backoff, failures: number, random: Pick<Random, 'unit'>): number {
  const ceilingMs = Math.min(backoff.maxMs, backoff.firstMs * 2 ** Math.min(failures, DOUBLINGS_MAX))
  return random.unit() * ceilingMs
}

const DOUBLINGS_MAX = 30
