import type { KnownTasks, PartitionPlace, PartitionWriter, Written } from '../apply-line.ts'
import type { FoldedEntries } from '../fold-entries.ts'
import type { StreamChange } from '../fold-outputs.ts'
import type { Database } from './database.ts'
import { knownTasks, outputColumns } from './output-rows.ts'
import { taskColumns } from './task-rows.ts'

/** Positions, and what lies below them, in one transaction. */
export class PartitionRows implements PartitionWriter {
  readonly #database: Database
  readonly #schema: string
  readonly #now: () => number | null

  constructor(database: Database, schema: string, now: () => number | null) {
    this.#database = database
    this.#schema = schema
    this.#now = now
  }

  async positionOf(topic: string, partition: number): Promise<number | null> {
    const rows = await this.#database.rows<{ next: number }>(
      `SELECT next FROM ${this.#schema}.positions WHERE topic = $1 AND partition = $2`,
      [topic, partition],
    )
    return rows[0]?.next ?? null
  }

  known(topic: string, partition: number, taskIds: readonly string[]): Promise<KnownTasks> {
    return knownTasks(this.#database, this.#schema, { topic, partition }, taskIds)
  }

  async write(
    { topic, partition, expected, next }: PartitionPlace,
    folded: FoldedEntries,
    outputs: readonly StreamChange[],
  ): Promise<Written> {
    const name = outputs.length === 0 ? 'apply_batch' : 'apply_with_outputs'
    const said = outputs.length === 0 ? [] : outputColumns(outputs)
    const values = [topic, partition, expected, next, this.#now(), ...taskColumns(folded), ...said]
    const places = values.map((_, index) => `$${index + 1}`).join(', ')
    const rows = await this.#database.rows<Columns>(`SELECT * FROM ${this.#schema}.${name}(${places})`, values)
    const { applied, position, results_kept: resultsKept } = rows[0]!
    return applied ? { applied, resultsKept } : { applied, position }
  }
}

interface Columns {
  readonly applied: boolean
  readonly position: number | null
  readonly results_kept: number
}
