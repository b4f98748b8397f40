import type { DatabaseSync, StatementSync } from 'node:sqlite'

/** The heads of lines, and when they wake. Used inside the caller's transaction. */
export class LineHeads {
  readonly #first: StatementSync
  readonly #after: StatementSync
  readonly #of: StatementSync
  readonly #sooner: StatementSync
  readonly #byDeadline: StatementSync
  readonly #wake: StatementSync

  constructor(database: DatabaseSync) {
    const columns = 'id, line, log_offset, taken, reason, due_at_ms'
    const of = `SELECT ${columns} FROM parked WHERE queue = ? AND partition = ?`
    const first = 'ORDER BY line, log_offset LIMIT 1'
    this.#first = database.prepare(`${of} AND line IS NOT NULL ${first}`)
    this.#after = database.prepare(`${of} AND line > ? ${first}`)
    this.#of = database.prepare(`${of} AND line = ? ORDER BY log_offset LIMIT 1`)
    this.#sooner = database.prepare(
      'UPDATE parked SET wake_at_ms = min(coalesce(due_at_ms, deadline_at_ms), deadline_at_ms) WHERE id = ?',
    )
    // A number is used again when its row was the last one: it may belong to a row of another line by now.
    this.#byDeadline = database.prepare('UPDATE parked SET wake_at_ms = deadline_at_ms WHERE id = ? AND line = ?')
    this.#wake = database.prepare('UPDATE parked SET due_at_ms = ? WHERE id = ?')
  }

  of(queue: string, partition: number, line: string): LineHead | undefined {
    return this.#of.get(queue, partition, line) as LineHead | undefined
  }

  /** One step through the index for each line, however long the lines are. */
  all(queue: string, partition: number): readonly LineHead[] {
    const heads: LineHead[] = []
    let head = this.#first.get(queue, partition) as LineHead | undefined
    while (head !== undefined) {
      heads.push(head)
      head = this.#after.get(queue, partition, head.line) as LineHead | undefined
    }
    return heads
  }

  /** Due at once, unless it waits by its own time or for an operator, or whatever it waits for. */
  wake({ id, due_at_ms: dueAtMs, reason }: LineHead, whatever: boolean, nowMs: number): void {
    if (whatever || (dueAtMs === null && reason !== 'exhausted')) this.#wake.run(nowMs, id)
    this.#sooner.run(id)
  }

  /** Rows of the line have come or gone: what heads it wakes by its own time, what headed it no more. */
  changed(queue: string, partition: number, line: string, former: LineHead | undefined): void {
    const head = this.of(queue, partition, line)
    if (head === undefined) return
    if (former !== undefined && former.id !== head.id) this.#byDeadline.run(former.id, line)
    this.refresh(head.id)
  }

  refresh(id: number): void {
    this.#sooner.run(id)
  }
}

export interface LineHead {
  readonly id: number
  readonly line: string
  readonly log_offset: number
  readonly taken: number
  readonly reason: string
  readonly due_at_ms: number | null
}
