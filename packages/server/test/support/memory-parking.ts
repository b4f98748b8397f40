import {
  type EditedBody,
  type Owned,
  type Ownership,
  type ParkedPage,
  type ParkedRow,
  type Parking,
  ParkingFenced,
  type RowToPark,
  type Taken,
  type TakenRow,
  type Wish,
} from '../../src/store/parking.ts'

interface Row extends ParkedRow {
  taken: boolean
  wish: Wish | null
  dueAtMs: number | null
}

/** Parked tasks in memory, told the slow and obvious way; for tests that choose when each call is answered. */
export class MemoryParking implements Parking {
  readonly #nowMs: () => number
  readonly #before: (call: string) => Promise<void>
  readonly #epochs = new Map<string, number>()
  #rows: Row[] = []
  #lastEpoch = 0

  /** `before` runs before each call takes effect, and once more before its answer is heard; it may throw. */
  constructor(nowMs: () => number, before: (call: string) => Promise<void> = async () => {}) {
    this.#nowMs = nowMs
    this.#before = before
  }

  get rows(): readonly ParkedRow[] {
    return this.#rows
  }

  own(queue: string, partition: number): Promise<Ownership> {
    return this.#call('own', () => {
      const epoch = ++this.#lastEpoch
      this.#epochs.set(placeOf({ queue, partition }), epoch)
      const mine = this.#of({ queue, partition })
      for (const row of mine) {
        const standsAlone = row.line === null || this.#isHead(row)
        if (standsAlone && (row.taken || (row.dueAtMs === null && row.reason !== 'exhausted'))) {
          row.dueAtMs = this.#nowMs()
        }
        row.taken = false
      }
      return { epoch, lines: [...new Set(mine.flatMap(({ line }) => (line === null ? [] : [line])))] }
    })
  }

  park(owned: Owned, rows: readonly RowToPark[]): Promise<void> {
    return this.#call('park', () => {
      this.#assertOwned(owned)
      for (const given of rows) {
        const known = this.#of(owned).find(({ record }) => record.offset === given.record.offset)
        if (known !== undefined && given.reason === 'behind') {
          known.taken = false
          continue
        }
        this.#rows = this.#rows.filter((row) => row !== known)
        const { dueInMs, deadlineInMs, ...rest } = given
        const nowMs = this.#nowMs()
        this.#rows.push({
          ...rest,
          queue: owned.queue,
          partition: owned.partition,
          parkedAtMs: nowMs,
          dueAtMs: dueInMs === null ? null : nowMs + dueInMs,
          deadlineAtMs: nowMs + deadlineInMs,
          wish: null,
          taken: false,
        })
      }
    })
  }

  take(_queue: string, owned: readonly Owned[], limit: number): Promise<Taken> {
    return this.#call('take', () => {
      const waiting = owned
        .filter((one) => this.#owns(one))
        .flatMap((one) => this.#of(one))
        .filter((row) => !row.taken)
        .sort((a, b) => this.#wakesAtMs(a) - this.#wakesAtMs(b))
      const rows = waiting.filter((row) => this.#wakesAtMs(row) <= this.#nowMs()).slice(0, limit)
      for (const row of rows) row.taken = true
      const next = waiting.find((row) => !row.taken)
      const nextInMs = next === undefined ? null : Math.max(0, this.#wakesAtMs(next) - this.#nowMs())
      const nowMs = this.#nowMs()
      return { rows: rows.map((row) => ({ ...row, nowMs })), nextInMs }
    })
  }

  takeLine(owned: Owned, key: string, limit: number): Promise<readonly TakenRow[]> {
    return this.#call('takeLine', () => {
      this.#assertOwned(owned)
      const rows = this.#of(owned)
        .filter((row) => row.line === key && !row.taken)
        .sort((a, b) => a.record.offset - b.record.offset)
        .slice(0, limit)
      for (const row of rows) row.taken = true
      const nowMs = this.#nowMs()
      return rows.map((row) => ({ ...row, nowMs }))
    })
  }

  remove(owned: Owned, offsets: readonly number[]): Promise<void> {
    return this.#call('remove', () => {
      this.#assertOwned(owned)
      const gone = new Set(this.#of(owned).filter(({ record }) => offsets.includes(record.offset)))
      this.#rows = this.#rows.filter((row) => !gone.has(row))
    })
  }

  drop(owned: Owned, taskIds: readonly string[]): Promise<readonly string[]> {
    return this.#call('drop', () => {
      if (!this.#owns(owned)) return []
      const gone = new Set(this.#of(owned).filter((row) => taskIds.includes(row.taskId) && !row.taken))
      this.#rows = this.#rows.filter((row) => !gone.has(row))
      for (const row of this.#of(owned)) {
        if (
          row.line !== null &&
          this.#isHead(row) &&
          !row.taken &&
          row.dueAtMs === null &&
          row.reason !== 'exhausted'
        ) {
          row.dueAtMs = this.#nowMs()
        }
      }
      return [...gone].map(({ taskId }) => taskId)
    })
  }

  async wish(_queue: string, taskId: string, wish: Wish): Promise<'kept' | 'taken' | 'missing'> {
    const row = this.#rows.find((one) => one.taskId === taskId)
    if (row === undefined) return 'missing'
    if (row.taken) return 'taken'
    row.wish = wish
    row.dueAtMs = this.#nowMs()
    return 'kept'
  }

  async find(_queue: string, taskId: string): Promise<ParkedRow | null> {
    return this.#rows.find((row) => row.taskId === taskId) ?? null
  }

  async list(): Promise<ParkedPage> {
    return { rows: [], cursor: null, total: this.#rows.length }
  }

  async edit(_queue: string, _taskId: string, _body: EditedBody): Promise<'kept' | 'taken' | 'missing'> {
    return 'missing'
  }

  async lastFired(): Promise<number | null> {
    return null
  }

  async fired(): Promise<void> {}

  async #call<Answer>(name: string, act: () => Answer): Promise<Answer> {
    await this.#before(name)
    const answer = act()
    await this.#before(`${name} answered`)
    return answer
  }

  #of({ queue, partition }: { queue: string; partition: number }): Row[] {
    return this.#rows.filter((row) => row.queue === queue && row.partition === partition)
  }

  #isHead({ queue, partition, line, record }: Row): boolean {
    const mine = this.#of({ queue, partition })
    return !mine.some((row) => row.line === line && row.record.offset < record.offset)
  }

  #wakesAtMs(row: Row): number {
    const { dueAtMs, deadlineAtMs } = row
    const byTime = row.line === null || this.#isHead(row) ? dueAtMs : null
    return Math.min(byTime ?? deadlineAtMs, deadlineAtMs)
  }

  #owns(owned: Owned): boolean {
    return this.#epochs.get(placeOf(owned)) === owned.epoch
  }

  #assertOwned(owned: Owned): void {
    if (!this.#owns(owned)) throw new ParkingFenced(owned)
  }
}

function placeOf({ queue, partition }: { queue: string; partition: number }): string {
  return `${queue}/${partition}`
}
