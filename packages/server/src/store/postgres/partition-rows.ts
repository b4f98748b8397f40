import type { PartitionPlace, PartitionWriter, Written } from '../apply-line.ts'
import type { FoldedEntries } from '../fold-entries.ts'
import type { Database } from './database.ts'
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

  async write({ topic, partition, expected, next }: PartitionPlace, folded: FoldedEntries): Promise<Written> {
    const rows = await this.#database.rows<Columns>(
      `SELECT * FROM ${this.#schema}.apply_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
        $17, $18, $19, $20, $21, $22, $23)`,
      [topic, partition, expected, next, this.#now(), ...taskColumns(folded)],
    )
    const { applied, position, results_kept: resultsKept } = rows[0]!
    return applied ? { applied, resultsKept } : { applied, position }
  }
}

interface Columns {
  readonly applied: boolean
  readonly position: number | null
  readonly results_kept: number
}
