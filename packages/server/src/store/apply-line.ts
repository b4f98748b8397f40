import { countedOutputs, talkingTasks } from './counted-outputs.ts'
import { type FoldedEntries, foldEntries } from './fold-entries.ts'
import type { KnownOfTask, StreamChange } from './fold-outputs.ts'
import type { ApplyReport, RecordedBatch } from './store.ts'

/** What a shared store can do with one partition of the log. */
export interface PartitionWriter {
  /** First offset that was not applied; null where nothing was. */
  positionOf(topic: string, partition: number): Promise<number | null>
  /** What is known of these tasks, and where the store stands at that very moment. */
  known(topic: string, partition: number, taskIds: readonly string[]): Promise<KnownTasks>
  /** Applies and moves to `next`, all or nothing, if the store stands at `expected`; says where it stands otherwise. */
  write(place: PartitionPlace, folded: FoldedEntries, outputs: readonly StreamChange[]): Promise<Written>
}

export interface KnownTasks {
  readonly position: number | null
  readonly tasks: ReadonlyMap<string, KnownOfTask>
}

export interface PartitionPlace {
  readonly topic: string
  readonly partition: number
  readonly expected: number | null
  readonly next: number
}

export type Written =
  | { readonly applied: true; readonly resultsKept: number }
  | { readonly applied: false; readonly position: number | null }

/**
 * Takes in what was read from the log. Each gateway's recorder offers the same batches, so where another was quicker the
 * last time, a look at the position comes first and mostly is all: whoever is ahead sends the rows, the others a line.
 */
export class ApplyLine {
  readonly #writer: PartitionWriter
  /** By topic and partition: the call that is under way, and the position that a call of ours has left. */
  readonly #tails = new Map<string, Promise<unknown>>()
  readonly #left = new Map<string, number>()

  constructor(writer: PartitionWriter) {
    this.#writer = writer
  }

  /** One after the other for each partition, in the order of the calls. */
  apply(batch: RecordedBatch): Promise<ApplyReport> {
    const key = `${batch.partition} ${batch.topic}`
    const before = this.#tails.get(key)
    const applied = before === undefined ? this.#apply(key, batch) : before.then(() => this.#apply(key, batch))
    const tail = applied.then(nothing, nothing)
    this.#tails.set(key, tail)
    void tail.then(() => this.#tails.get(key) === tail && this.#tails.delete(key))
    return applied
  }

  /** Resolves when nothing waits any more. */
  async idle(): Promise<void> {
    while (this.#tails.size > 0) await Promise.all(this.#tails.values())
  }

  async #apply(key: string, batch: RecordedBatch): Promise<ApplyReport> {
    const { topic, partition, from, next, entries } = batch
    const left = this.#left.get(key)
    this.#left.delete(key)
    const goesOn = left !== undefined && left === from && next > left
    let position = goesOn ? left : await this.#writer.positionOf(topic, partition)
    for (;;) {
      if (from !== null && (position === null || position < from)) return { kind: 'behind', position }
      if (position !== null && next <= position) return { kind: 'applied', duplicates: 0 }
      const outputs = await this.#outputs(batch, position)
      if (outputs.kind === 'moved') {
        position = outputs.position
        continue
      }
      const folded = foldEntries(entries, position ?? 0)
      const written = await this.#writer.write({ topic, partition, expected: position, next }, folded, outputs.counted)
      if (written.applied) {
        this.#left.set(key, next)
        return { kind: 'applied', duplicates: folded.duplicates + folded.results - written.resultsKept }
      }
      position = written.position
    }
  }

  /** All that a task says comes by one partition, so what counts of it is settled while the position stands where it did. */
  async #outputs({ topic, partition, entries }: RecordedBatch, position: number | null): Promise<CountedOutputs> {
    const talking = talkingTasks(entries, position ?? 0)
    if (talking.length === 0) return SILENCE
    const found = await this.#writer.known(topic, partition, talking)
    if (found.position !== position) return { kind: 'moved', position: found.position }
    return { kind: 'counted', counted: countedOutputs(entries, position ?? 0, found.tasks) }
  }
}

type CountedOutputs =
  | { readonly kind: 'counted'; readonly counted: readonly StreamChange[] }
  | { readonly kind: 'moved'; readonly position: number | null }

const SILENCE: CountedOutputs = { kind: 'counted', counted: [] }

const nothing = () => {}
