import { type FoldedEntries, foldEntries } from './fold-entries.ts'
import type { ApplyReport, RecordedBatch } from './store.ts'

/** What a shared store can do with one partition of the log. */
export interface PartitionWriter {
  /** First offset that was not applied; null where nothing was. */
  positionOf(topic: string, partition: number): Promise<number | null>
  /** Applies and moves to `next`, all or nothing, if the store stands at `expected`; says where it stands otherwise. */
  write(place: PartitionPlace, folded: FoldedEntries): Promise<Written>
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

  async #apply(key: string, { topic, partition, from, next, entries }: RecordedBatch): Promise<ApplyReport> {
    const left = this.#left.get(key)
    this.#left.delete(key)
    const goesOn = left !== undefined && left === from && next > left
    let position = goesOn ? left : await this.#writer.positionOf(topic, partition)
    for (;;) {
      if (from !== null && (position === null || position < from)) return { kind: 'behind', position }
      if (position !== null && next <= position) return { kind: 'applied', duplicates: 0 }
      const folded = foldEntries(entries, position ?? 0)
      const written = await this.#writer.write({ topic, partition, expected: position, next }, folded)
      if (written.applied) {
        this.#left.set(key, next)
        return { kind: 'applied', duplicates: folded.duplicates + folded.results - written.resultsKept }
      }
      position = written.position
    }
  }
}

const nothing = () => {}
