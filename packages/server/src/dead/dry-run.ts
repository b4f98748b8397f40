import { type Choice, chosenLetters } from './choose.ts'
import { type Refusal, refusalOf } from './redrive-record.ts'
import type { ScanParts } from './scan.ts'

/** What a redrive or a discard would do, as things stand. */
export interface DryRun {
  readonly count: number
  readonly refused: Readonly<Partial<Record<Refusal, number>>>
  /** How many of each queue and code. */
  readonly histogram: ReadonlyMap<string, ReadonlyMap<string, number>>
  /** When the first and the last of them died; null when there are none. ms since 1970 */
  readonly oldestAtMs: number | null
  readonly newestAtMs: number | null
}

export async function dryRun(
  parts: ScanParts,
  choice: Choice,
  refuses: { readonly force: boolean } | null,
  signal: AbortSignal,
): Promise<DryRun> {
  const histogram = new Map<string, Map<string, number>>()
  const refused: Partial<Record<Refusal, number>> = {}
  let count = 0
  let oldestAtMs: number | null = null
  let newestAtMs: number | null = null
  for await (const { letter, queue } of chosenLetters(parts, choice, signal)) {
    const refusal = refuses === null ? null : refusalOf(letter, false, refuses.force)
    if (refusal !== null) {
      refused[refusal] = (refused[refusal] ?? 0) + 1
      continue
    }
    count++
    if (oldestAtMs === null || letter.atMs < oldestAtMs) oldestAtMs = letter.atMs
    if (newestAtMs === null || letter.atMs > newestAtMs) newestAtMs = letter.atMs
    const codes = histogram.get(queue.name) ?? new Map<string, number>()
    histogram.set(queue.name, codes.set(letter.code, (codes.get(letter.code) ?? 0) + 1))
  }
  return { count, refused, histogram, oldestAtMs, newestAtMs }
}
