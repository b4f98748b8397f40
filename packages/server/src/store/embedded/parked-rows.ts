import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { sqliteCodeOf } from '@forebay/broker/embedded'
import type { Owned } from '../parking.ts'
import { LineHeads } from './line-heads.ts'
import { withBody } from './parked-codec.ts'
import { foundRows, type ParkedColumns, ROW_COLUMNS } from './parked-columns.ts'
import type { PackedRow, ParkingAct, ParkingAnswer } from './parking-calls.ts'

/** Tasks that wait outside the log, and who owns them. Used inside the caller's transaction. */
export class ParkedRows {
  readonly #database: DatabaseSync
  readonly #heads: LineHeads
  readonly #own: StatementSync
  readonly #epoch: StatementSync
  readonly #wakeTakenSingles: StatementSync
  readonly #giveBack: StatementSync
  readonly #put: StatementSync
  readonly #putRecord: StatementSync
  readonly #waitAgain: StatementSync
  readonly #due: StatementSync
  readonly #ofLine: StatementSync
  readonly #next: StatementSync
  readonly #take: StatementSync
  readonly #get: StatementSync
  readonly #removePlace: StatementSync
  readonly #removeId: StatementSync
  readonly #removeRecord: StatementSync
  readonly #ofTask: StatementSync
  readonly #wish: StatementSync
  readonly #edit: StatementSync
  readonly #record: StatementSync
  readonly #editRecord: StatementSync
  readonly #fired: StatementSync

  constructor(database: DatabaseSync) {
    this.#database = database
    this.#heads = new LineHeads(database)
    const prepare = (sql: string) => database.prepare(sql)
    const ofPartition = 'WHERE queue = ? AND partition = ?'
    this.#own = prepare(
      `INSERT INTO parking_owners VALUES (?, ?, 1)
       ON CONFLICT (queue, partition) DO UPDATE SET epoch = epoch + 1 RETURNING epoch`,
    )
    this.#epoch = prepare(`SELECT epoch FROM parking_owners ${ofPartition}`)
    this.#wakeTakenSingles = prepare(
      `UPDATE parked SET taken = 0, due_at_ms = ?1, wake_at_ms = min(?1, deadline_at_ms)
       WHERE queue = ?2 AND partition = ?3 AND taken = 1 AND line IS NULL`,
    )
    this.#giveBack = prepare(`UPDATE parked SET taken = 0 ${ofPartition} AND taken = 1`)
    this.#put = prepare(
      `INSERT INTO parked (queue, partition, log_offset, topic, task_id, owner, line, reason, attempts, losses,
       fault_code, fault_detail, parked_at_ms, due_at_ms, deadline_at_ms, wake_at_ms, taken, wish, bytes)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, NULL, ?)`,
    )
    this.#waitAgain = prepare(`UPDATE parked SET taken = 0 ${ofPartition} AND log_offset = ?`)
    this.#putRecord = prepare('INSERT INTO parked_records VALUES (?, ?)')
    this.#due = prepare(
      `SELECT id, wake_at_ms FROM parked ${ofPartition} AND taken = 0 AND wake_at_ms <= ? ORDER BY wake_at_ms LIMIT ?`,
    )
    this.#ofLine = prepare(
      `SELECT id FROM parked ${ofPartition} AND line = ? AND taken = 0 ORDER BY log_offset LIMIT ?`,
    )
    this.#next = prepare(`SELECT wake_at_ms FROM parked ${ofPartition} AND taken = 0 ORDER BY wake_at_ms LIMIT 1`)
    this.#take = prepare('UPDATE parked SET taken = 1 WHERE id = ?')
    this.#get = prepare(`SELECT ${ROW_COLUMNS}, record FROM parked JOIN parked_records USING (id) WHERE id = ?`)
    this.#removePlace = prepare(`DELETE FROM parked ${ofPartition} AND log_offset = ? RETURNING id, line`)
    this.#removeId = prepare('DELETE FROM parked WHERE id = ?')
    this.#removeRecord = prepare('DELETE FROM parked_records WHERE id = ?')
    this.#ofTask = prepare(
      'SELECT id, partition, line, log_offset, taken FROM parked WHERE task_id = ? AND queue = ? ORDER BY id',
    )
    this.#wish = prepare('UPDATE parked SET wish = ?, due_at_ms = ? WHERE id = ?')
    this.#edit = prepare('UPDATE parked SET bytes = ? WHERE id = ?')
    this.#record = prepare('SELECT record FROM parked_records WHERE id = ?')
    this.#editRecord = prepare('UPDATE parked_records SET record = ? WHERE id = ?')
    this.#fired = prepare(
      `INSERT INTO schedules VALUES (?, ?, ?)
       ON CONFLICT (queue, schedule) DO UPDATE SET fired_at_ms = excluded.fired_at_ms`,
    )
  }

  act(act: ParkingAct, records: Buffer, nowMs: number): ParkingAnswer {
    if ('owned' in act && !Array.isArray(act.owned)) {
      const owned = act.owned as Owned
      if (!this.#owns(owned)) return act.act === 'drop' ? { kind: 'dropped', taskIds: [] } : { kind: 'fenced', owned }
    }
    switch (act.act) {
      case 'own':
        return this.#takeOver(act.queue, act.partition, nowMs)
      case 'park':
        return this.#parkWhole(act.owned, act.rows, records, nowMs)
      case 'take':
        return this.#takeDue(
          act.owned.filter((one) => one.queue === act.queue && this.#owns(one)),
          act.limit,
          nowMs,
        )
      case 'takeLine': {
        const { owned, key, limit } = act
        const ids = this.#ofLine.all(owned.queue, owned.partition, key, limit).map((row) => row.id as number)
        return { kind: 'taken', rows: this.#takeRows(ids), nextInMs: null, nowMs }
      }
      case 'remove':
        return this.#remove(act.owned, act.offsets)
      case 'drop':
        return this.#drop(act.owned, act.taskIds, nowMs)
      case 'wish':
      case 'edit':
        return this.#change(act, nowMs)
      case 'fired':
        this.#fired.run(act.owned.queue, act.schedule, act.atMs)
        return DONE
    }
  }

  #owns({ queue, partition, epoch }: Owned): boolean {
    return this.#epoch.get(queue, partition)?.epoch === epoch
  }

  #takeOver(queue: string, partition: number, nowMs: number): ParkingAnswer {
    const epoch = this.#own.get(queue, partition)?.epoch as number
    this.#wakeTakenSingles.run(nowMs, queue, partition)
    const heads = this.#heads.all(queue, partition)
    for (const head of heads) this.#heads.wake(head, head.taken === 1, nowMs)
    this.#giveBack.run(queue, partition)
    return { kind: 'owned', ownership: { epoch, lines: heads.map((head) => head.line) } }
  }

  /** A row that cannot be kept must not undo what others have in the same transaction. */
  #parkWhole(owned: Owned, rows: readonly PackedRow[], records: Buffer, nowMs: number): ParkingAnswer {
    this.#database.exec('SAVEPOINT park')
    try {
      this.#park(owned, rows, records, nowMs)
      this.#database.exec('RELEASE park')
      return DONE
    } catch (error) {
      const code = sqliteCodeOf(error)
      if (code !== null && code !== SQLITE_CONSTRAINT && code !== SQLITE_MISMATCH) throw error
      this.#database.exec('ROLLBACK TO park; RELEASE park')
      return { kind: 'refused', reason: error instanceof Error ? error.message : String(error) }
    }
  }

  #park({ queue, partition }: Owned, rows: readonly PackedRow[], records: Buffer, nowMs: number): void {
    const lines = new Set<string>()
    for (const { line } of rows) if (line !== null) lines.add(line)
    const before = new Map([...lines].map((line) => [line, this.#heads.of(queue, partition, line)]))
    for (const row of rows) {
      // Its record came again, or it is handed back: it has attempts and a time that must stay.
      if (row.reason === 'behind' && this.#waitAgain.run(queue, partition, row.offset).changes > 0) continue
      const left = this.#removeAt(queue, partition, row.offset)
      if (left !== null && !before.has(left)) before.set(left, undefined)
      const dueAtMs = row.dueInMs === null ? null : momentIn(row.dueInMs, nowMs)
      const deadlineAtMs = momentIn(row.deadlineInMs, nowMs)
      const wakeAtMs = row.line !== null || dueAtMs === null ? deadlineAtMs : Math.min(dueAtMs, deadlineAtMs)
      const { lastInsertRowid } = this.#put.run(
        queue,
        partition,
        row.offset,
        row.topic,
        row.taskId,
        row.owner,
        row.line,
        row.reason,
        row.attempts,
        row.losses,
        row.fault?.code ?? null,
        row.fault?.detail ?? null,
        nowMs,
        dueAtMs,
        deadlineAtMs,
        wakeAtMs,
        row.bytes,
      )
      this.#putRecord.run(lastInsertRowid, records.subarray(row.start, row.end))
    }
    for (const [line, former] of before) this.#heads.changed(queue, partition, line, former)
  }

  #takeDue(owned: readonly Owned[], limit: number, nowMs: number): ParkingAnswer {
    const due = owned.flatMap(({ queue, partition }) => this.#due.all(queue, partition, nowMs, limit))
    if (owned.length > 1) due.sort((a, b) => (a.wake_at_ms as number) - (b.wake_at_ms as number))
    const rows = this.#takeRows(due.slice(0, limit).map((row) => row.id as number))
    let nextAtMs = Number.POSITIVE_INFINITY
    for (const { queue, partition } of owned) {
      const next = this.#next.get(queue, partition)
      if (next !== undefined) nextAtMs = Math.min(nextAtMs, next.wake_at_ms as number)
    }
    return {
      kind: 'taken',
      rows,
      nextInMs: nextAtMs === Number.POSITIVE_INFINITY ? null : Math.max(0, nextAtMs - nowMs),
      nowMs,
    }
  }

  #takeRows(ids: readonly number[]) {
    for (const id of ids) this.#take.run(id)
    return foundRows(ids.map((id) => this.#get.get(id) as unknown as ParkedColumns))
  }

  #remove({ queue, partition }: Owned, offsets: readonly number[]): ParkingAnswer {
    const lines = new Set<string>()
    for (const offset of offsets) {
      const line = this.#removeAt(queue, partition, offset)
      if (line !== null) lines.add(line)
    }
    for (const line of lines) this.#heads.changed(queue, partition, line, undefined)
    return DONE
  }

  /** Resolves with the line that the row stood in. */
  #removeAt(queue: string, partition: number, offset: number): string | null {
    const removed = this.#removePlace.get(queue, partition, offset)
    if (removed === undefined) return null
    this.#removeRecord.run(removed.id!)
    return removed.line as string | null
  }

  #drop({ queue, partition }: Owned, wanted: readonly string[], nowMs: number): ParkingAnswer {
    const rows = wanted.flatMap((taskId) =>
      this.#rowsOf(queue, taskId).flatMap((row) =>
        row.partition === partition && row.taken === 0 ? [{ taskId, row }] : [],
      ),
    )
    const lines = new Set(rows.flatMap(({ row }) => (row.line === null ? [] : [row.line])))
    const before = [...lines].map((line) => this.#heads.of(queue, partition, line)!)
    for (const { row } of rows) {
      this.#removeId.run(row.id)
      this.#removeRecord.run(row.id)
    }
    for (const former of before) {
      const head = this.#heads.of(queue, partition, former.line)
      // Whoever ran the line waited for the one that is gone.
      if (head !== undefined && head.id !== former.id && head.taken === 0) this.#heads.wake(head, false, nowMs)
    }
    return { kind: 'dropped', taskIds: [...new Set(rows.map(({ taskId }) => taskId))] }
  }

  #change(act: Extract<ParkingAct, { act: 'wish' | 'edit' }>, nowMs: number): ParkingAnswer {
    const rows = this.#rowsOf(act.queue, act.taskId)
    if (rows.length === 0) return { kind: 'wished', outcome: 'missing' }
    if (rows.some((row) => row.taken === 1)) return { kind: 'wished', outcome: 'taken' }
    for (const { id, partition, line } of rows) {
      if (act.act === 'wish') {
        this.#wish.run(act.wish, nowMs, id)
        if (line === null) this.#heads.refresh(id)
        else this.#heads.changed(act.queue, partition, line, undefined)
      } else {
        const packed = this.#record.get(id)?.record as Uint8Array
        this.#editRecord.run(withBody(packed, act), id)
        this.#edit.run(act.payload.length, id)
      }
    }
    return { kind: 'wished', outcome: 'kept' }
  }

  #rowsOf(queue: string, taskId: string): readonly TaskPlace[] {
    return this.#ofTask.all(taskId, queue) as unknown as readonly TaskPlace[]
  }
}

const DONE: ParkingAnswer = { kind: 'done' }
const SQLITE_CONSTRAINT = 19
const SQLITE_MISMATCH = 20

interface TaskPlace {
  readonly id: number
  readonly partition: number
  readonly line: string | null
  readonly taken: number
}

/** Rounded up: never early. */
function momentIn(ms: number, nowMs: number): number {
  return Math.min(Math.ceil(nowMs + ms), Number.MAX_SAFE_INTEGER)
}
