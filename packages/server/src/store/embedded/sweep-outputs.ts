import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { ENDED } from './row-states.ts'

/** Removes what tasks have said. Used inside the caller's transaction. */
export class SweepOutputs {
  readonly #any: StatementSync
  readonly #of: StatementSync
  readonly #oldest: StatementSync
  readonly #endOf: StatementSync
  readonly #stays: StatementSync
  readonly #remove: StatementSync
  readonly #removeOutputs: StatementSync

  constructor(database: DatabaseSync) {
    this.#any = database.prepare('SELECT 1 FROM output_streams LIMIT 1')
    this.#of = database.prepare('SELECT id, bytes FROM output_streams WHERE task_id = ?')
    this.#oldest = database.prepare(
      `SELECT id, task_id, bytes FROM output_streams WHERE at_ms < ? ORDER BY at_ms LIMIT ${SLICE_STREAMS_MAX}`,
    )
    this.#endOf = database.prepare(`SELECT at_ms FROM tasks WHERE task_id = ? AND ended = ${ENDED}`)
    this.#stays = database.prepare('UPDATE output_streams SET at_ms = ? WHERE id = ?')
    this.#remove = database.prepare('DELETE FROM output_streams WHERE id = ?')
    this.#removeOutputs = database.prepare('DELETE FROM outputs WHERE stream = ?')
  }

  any(): boolean {
    return this.#any.get() !== undefined
  }

  /** With the task's own row. About how many bytes went. */
  removeOf(taskId: string): number {
    const stream = this.#of.get(taskId)
    return stream === undefined ? 0 : this.#removeStream(stream.id as number, stream.bytes as number)
  }

  /**
   * Of tasks that have said nothing since and have not ended; where one has ended later, its row decides, and what it
   * has said takes its age. How many were looked at.
   */
  removeSilent(beforeMs: number, bytesMax: number): number {
    let looked = 0
    let bytes = 0
    for (const stream of this.#oldest.all(beforeMs)) {
      const endedAtMs = this.#endOf.get(stream.task_id!)?.at_ms as number | undefined
      looked += 1
      if (endedAtMs !== undefined && endedAtMs >= beforeMs) this.#stays.run(endedAtMs, stream.id!)
      else bytes += this.#removeStream(stream.id as number, stream.bytes as number)
      if (bytes >= bytesMax) break
    }
    return looked
  }

  removeOldest(bytesWanted: number): number {
    let removed = 0
    let bytes = 0
    for (const stream of this.#oldest.all(Number.MAX_SAFE_INTEGER)) {
      bytes += this.#removeStream(stream.id as number, stream.bytes as number)
      removed += 1
      if (bytes >= bytesWanted) break
    }
    return removed
  }

  #removeStream(id: number, bytes: number): number {
    this.#removeOutputs.run(id)
    this.#remove.run(id)
    return ROW_BYTES + bytes
  }
}

const SLICE_STREAMS_MAX = 1_000
/** About what a stream takes beside the payloads. */
const ROW_BYTES = 256
