import type { ApplyReport, RecordedBatch } from '../store.ts'
import type { Database } from './database.ts'
import { foldEntries, taskColumns } from './task-rows.ts'

/**
 * Takes in what was read from the log. Each gateway's recorder offers the same batches, so where another was quicker the
 * last time, a look at the position comes first and mostly is all: whoever is ahead sends the rows, the others a line.
 */
export class ApplyLine {
  readonly #database: Database
  readonly #schema: string
  readonly #now: () => number | null
  /** By topic and partition: the call that is under way, and the position that a call of ours has left. */
  readonly #tails = new Map<string, Promise<unknown>>()
  readonly #left = new Map<string, number>()

  constructor(database: Database, schema: string, now: () => number | null) {
    this.#database = database
    this.#schema = schema
    this.#now = now
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
    const ours = this.#left.get(key)
    this.#left.delete(key)
    const goesOn = ours !== undefined && ours === from && next > ours
    let position = goesOn ? ours : await this.#positionOf(topic, partition)
    for (;;) {
      if (from !== null && (position === null || position < from)) return { kind: 'behind', position }
      if (position !== null && next <= position) return { kind: 'applied', duplicates: 0 }
      const folded = foldEntries(entries, position ?? 0)
      const rows = await this.#database.rows<Applied>(
        `SELECT * FROM ${this.#schema}.apply_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
          $17, $18, $19, $20, $21, $22, $23)`,
        [topic, partition, position, next, this.#now(), ...taskColumns(folded)],
      )
      const { applied, position: stands, results_kept: kept } = rows[0]!
      if (applied) {
        this.#left.set(key, next)
        return { kind: 'applied', duplicates: folded.duplicates + folded.results - kept }
      }
      position = stands
    }
  }

  async #positionOf(topic: string, partition: number): Promise<number | null> {
    const rows = await this.#database.rows<{ next: number }>(
      `SELECT next FROM ${this.#schema}.positions WHERE topic = $1 AND partition = $2`,
      [topic, partition],
    )
    return rows[0]?.next ?? null
  }
}

interface Applied {
  readonly applied: boolean
  readonly position: number | null
  readonly results_kept: number
}

const nothing = () => {}
