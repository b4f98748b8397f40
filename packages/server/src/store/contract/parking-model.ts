import type { Owned, RowToPark, Wish } from '../parking.ts'

/** What one queue's parked rows should be, kept the slow and obvious way. */
export class ParkingModel {
  nowMs = 0
  readonly #rows: ModelRow[] = []
  readonly #epochs = new Map<number, number>()

  own(partition: number, epoch: number): readonly string[] {
    this.#epochs.set(partition, epoch)
    for (const row of this.rowsOf(partition)) {
      const wakes = row.taken && (row.line === null || this.#isHead(row))
      row.taken = false
      if (wakes) row.dueAtMs = this.nowMs
      else if (row.line !== null && this.#isHead(row)) this.#wakeForgotten(row)
    }
    return [...new Set(this.rowsOf(partition).flatMap((row) => (row.line === null ? [] : [row.line])))].sort()
  }

  owns({ partition, epoch }: Owned): boolean {
    return this.#epochs.get(partition) === epoch
  }

  park(partition: number, given: readonly RowToPark[]): void {
    for (const one of given) {
      const there = this.rowsOf(partition).find((row) => row.offset === one.record.offset)
      if (there !== undefined && one.reason === 'behind') {
        there.taken = false
        continue
      }
      this.remove(partition, [one.record.offset])
      this.#rows.push({
        partition,
        offset: one.record.offset,
        taskId: one.taskId,
        line: one.line,
        exhausted: one.reason === 'exhausted',
        dueAtMs: one.dueInMs === null ? null : this.nowMs + one.dueInMs,
        deadlineAtMs: this.nowMs + one.deadlineInMs,
        taken: false,
        wish: null,
      })
    }
  }

  /** Rows that may be handed out now, earliest first. */
  due(partitions: readonly number[]): readonly ModelRow[] {
    return this.#waiting(partitions)
      .filter((row) => this.wakesAtMs(row) <= this.nowMs)
      .sort((a, b) => this.wakesAtMs(a) - this.wakesAtMs(b))
  }

  nextInMs(partitions: readonly number[]): number | null {
    const waiting = this.#waiting(partitions)
    if (waiting.length === 0) return null
    return Math.max(0, Math.min(...waiting.map((row) => this.wakesAtMs(row))) - this.nowMs)
  }

  takeLine(partition: number, line: string, limit: number): readonly ModelRow[] {
    const rows = this.rowsOf(partition).filter((row) => row.line === line && !row.taken)
    const taken = rows.sort((a, b) => a.offset - b.offset).slice(0, limit)
    for (const row of taken) row.taken = true
    return taken
  }

  remove(partition: number, offsets: readonly number[]): void {
    for (const row of this.rowsOf(partition)) {
      if (offsets.includes(row.offset)) this.#rows.splice(this.#rows.indexOf(row), 1)
    }
  }

  drop(partition: number, taskIds: readonly string[]): readonly string[] {
    const dropped = this.rowsOf(partition).filter((row) => taskIds.includes(row.taskId) && !row.taken)
    const headless = new Set(dropped.filter((row) => row.line !== null && this.#isHead(row)).map((row) => row.line))
    for (const row of dropped) this.#rows.splice(this.#rows.indexOf(row), 1)
    for (const row of this.rowsOf(partition)) {
      if (headless.has(row.line) && this.#isHead(row) && !row.taken) this.#wakeForgotten(row)
    }
    return dropped.map((row) => row.taskId).sort()
  }

  wish(taskId: string, wish: Wish): 'kept' | 'taken' | 'missing' {
    const rows = this.#rows.filter((row) => row.taskId === taskId)
    if (rows.length === 0) return 'missing'
    if (rows.some((row) => row.taken)) return 'taken'
    for (const row of rows) {
      row.wish = wish
      row.dueAtMs = this.nowMs
    }
    return 'kept'
  }

  /** When time hands the row out. */
  wakesAtMs(row: ModelRow): number {
    const { dueAtMs, deadlineAtMs } = row
    const alone = row.line === null || this.#isHead(row)
    return alone ? Math.min(dueAtMs ?? deadlineAtMs, deadlineAtMs) : deadlineAtMs
  }

  rowsOf(partition: number): readonly ModelRow[] {
    return this.#rows.filter((row) => row.partition === partition)
  }

  get size(): number {
    return this.#rows.length
  }

  #waiting(partitions: readonly number[]): ModelRow[] {
    return this.#rows.filter((row) => partitions.includes(row.partition) && !row.taken)
  }

  #isHead({ partition, line, offset }: ModelRow): boolean {
    return !this.#rows.some((row) => row.partition === partition && row.line === line && row.offset < offset)
  }

  #wakeForgotten(row: ModelRow): void {
    if (row.dueAtMs === null && !row.exhausted) row.dueAtMs = this.nowMs
  }
}

export interface ModelRow {
  readonly partition: number
  readonly offset: number
  readonly taskId: string
  readonly line: string | null
  readonly exhausted: boolean
  dueAtMs: number | null
  readonly deadlineAtMs: number
  taken: boolean
  wish: Wish | null
}
