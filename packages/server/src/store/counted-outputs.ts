import type { ChunkContent, ProgressContent } from '../task.ts'
import { type KnownOfTask, OutputFold, type StreamChange } from './fold-outputs.ts'
import type { RecordedEntry } from './store.ts'

/** Tasks that say something at or after `position`. */
export function talkingTasks(entries: readonly RecordedEntry[], position: number): readonly string[] {
  const found = new Set<string>()
  for (const entry of entries) if (entry.kind === 'output' && entry.offset >= position) found.add(entry.output.taskId)
  return found.size === 0 ? NOBODY : [...found]
}

const NOBODY: readonly string[] = []

/** What a batch changes of what its talking tasks have said; `known` has each of them, as the store stands at `position`. */
export function countedOutputs(
  entries: readonly RecordedEntry[],
  position: number,
  known: ReadonlyMap<string, KnownOfTask>,
): readonly StreamChange[] {
  const fold = new OutputFold((taskId) => known.get(taskId)!)
  for (const entry of entries) {
    if (entry.offset < position) continue
    if (entry.kind === 'output') fold.output(entry.offset, entry.output)
    else {
      const fact = entry.kind === 'result' ? entry.result : entry.note
      if (known.has(fact.taskId)) fold.fact(fact.taskId, fact.generation, entry.kind === 'result')
    }
  }
  return [...fold.changes()]
}

export type ChunkAt = ChunkContent & { readonly offset: number; readonly chunks: number; readonly atMs: number }
export type ProgressAt = ProgressContent & { readonly offset: number; readonly chunks: number; readonly atMs: number }

export function chunksOf(change: StreamChange): readonly ChunkAt[] {
  return change.chunks.flatMap(({ offset, output: { chunks, atMs, content } }) =>
    content.kind === 'chunk' ? [{ ...content, offset, chunks, atMs: Math.trunc(atMs) }] : [],
  )
}

export function progressOf({ progress }: StreamChange): ProgressAt | null {
  if (progress === null || progress.output.content.kind !== 'progress') return null
  const { chunks, atMs, content } = progress.output
  return { ...content, offset: progress.offset, chunks, atMs: Math.trunc(atMs) }
}
