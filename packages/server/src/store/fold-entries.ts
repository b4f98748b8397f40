import type { Note, Result } from '../task.ts'
import type { RecordedEntry } from './store.ts'

/** What is left of entries once those are gone that others of the same batch make void. */
export interface FoldedEntries {
  readonly rows: readonly FoldedEntry[]
  /** Rows of one round are of different tasks; rounds are written one after the other. */
  readonly rounds: number
  readonly results: number
  /** Results that were dropped already. */
  readonly duplicates: number
}

export interface FoldedEntry {
  readonly round: number
  readonly fact: Result | Note
}

/**
 * A note goes when something of its task follows that is not of an earlier generation: whatever the store holds, the
 * outcome is the same. What follows a result counts only in a later generation, and then has to be written after it.
 */
export function foldEntries(entries: readonly RecordedEntry[], position: number): FoldedEntries {
  const last = new Map<string, FoldedEntry>()
  const superseded = new Set<FoldedEntry>()
  const rows: FoldedEntry[] = []
  let duplicates = 0
  let rounds = 0
  for (const entry of entries) {
    if (entry.kind === 'output' || entry.offset < position) continue
    const fact = entry.kind === 'result' ? entry.result : entry.note
    const before = last.get(fact.taskId)
    let round = 1
    if (before !== undefined) {
      const { generation } = before.fact
      if (fact.generation < generation || (fact.generation === generation && isResult(before.fact))) {
        if (isResult(fact)) duplicates += 1
        continue
      }
      round = before.round
      if (isResult(before.fact)) round += 1
      else superseded.add(before)
    }
    const row = { round, fact }
    last.set(fact.taskId, row)
    rows.push(row)
    rounds = Math.max(rounds, round)
  }
  const left = superseded.size === 0 ? rows : rows.filter((row) => !superseded.has(row))
  return { rows: left, rounds, results: left.filter((row) => isResult(row.fact)).length, duplicates }
}

export function isResult(fact: Result | Note): fact is Result {
  return 'end' in fact
}
