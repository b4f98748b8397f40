import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { ErrorCode } from '@forebay/protocol'
import { parseBlobRef } from '../../records.ts'
import { isEndState, type OpenState } from '../../task.ts'
import type { ApplyReport, StoredTask } from '../store.ts'
import type { PackedBatch, TaskRow } from './batch-codec.ts'
import type { CallbackRows } from './callback-rows.ts'
import { OutputRows } from './output-rows.ts'
import { ENDED, OPEN, PARKED } from './row-states.ts'

/** What is known of tasks, and how far each partition has been read. Used inside the caller's transaction. */
export class TaskRows {
  readonly #outputs: OutputRows
  readonly #callbacks: CallbackRows
  readonly #put: StatementSync
  readonly #get: StatementSync
  readonly #forget: StatementSync
  readonly #position: StatementSync
  readonly #positionOf: StatementSync
  readonly #positions: StatementSync
  readonly #forgetPositions: StatementSync

  constructor(database: DatabaseSync, callbacks: CallbackRows) {
    this.#callbacks = callbacks
    this.#outputs = new OutputRows(database)
    const columns = [
      'task_id',
      'ended',
      'at_ms',
      'queue',
      'owner',
      'attempts',
      'generation',
      'state',
      'content_type',
      'fault_code',
      'fault_detail',
      'payload',
      'blob',
    ]
    const replaced = columns.slice(1).map((column) => `${column} = excluded.${column}`)
    this.#put = database.prepare(
      `INSERT INTO tasks (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})
       ON CONFLICT (task_id) DO UPDATE SET ${replaced.join(', ')}
       WHERE excluded.generation > tasks.generation
          OR (excluded.generation = tasks.generation AND tasks.ended <> ${ENDED})`,
    )
    this.#get = database.prepare('SELECT * FROM tasks WHERE task_id = ?')
    this.#forget = database.prepare('DELETE FROM tasks')
    this.#position = database.prepare(
      'INSERT INTO positions VALUES (?, ?, ?) ON CONFLICT (topic, partition) DO UPDATE SET next = excluded.next',
    )
    this.#positionOf = database.prepare('SELECT next FROM positions WHERE topic = ? AND partition = ?')
    this.#positions = database.prepare('SELECT partition, next FROM positions WHERE topic = ?')
    this.#forgetPositions = database.prepare('DELETE FROM positions WHERE topic = ?')
  }

  apply({ topic, partition, from, next, rows, outputs }: PackedBatch, nowMs: number): ApplyReport {
    const stored = (this.#positionOf.get(topic, partition)?.next as number | undefined) ?? null
    if (from !== null && (stored === null || from > stored)) return { kind: 'behind', position: stored }
    const position = stored ?? 0
    let duplicates = 0
    if (stored !== null && next <= stored) return { kind: 'applied', duplicates }
    // Before the rows: what counts follows from what was known before.
    if (outputs.length > 0) this.#outputs.apply(outputs, rows, position, nowMs)
    for (const row of rows) {
      if (row.offset < position) continue
      const written = this.#write(row, nowMs)
      if (!row.ended) continue
      if (written) this.#callbacks.ended(row, nowMs)
      else duplicates += 1
    }
    this.#position.run(topic, partition, next)
    return { kind: 'applied', duplicates }
  }

  rebuild(topic: string): void {
    this.#forget.run()
    this.#outputs.forget()
    this.#forgetPositions.run(topic)
  }

  get(taskId: string): StoredTask | null {
    const row = this.#get.get(taskId)
    return row === undefined ? null : storedTask(row as unknown as Columns)
  }

  positions(topic: string): ReadonlyMap<number, number> {
    return new Map(this.#positions.all(topic).map((row) => [row.partition as number, row.next as number]))
  }

  /** A moment that lies ahead, by somebody's clock or malice, would keep the row for ever. */
  #write(row: TaskRow, nowMs: number): boolean {
    const { changes } = this.#put.run(
      row.taskId,
      row.ended ? ENDED : row.state === 'parked' ? PARKED : OPEN,
      Math.min(row.atMs, nowMs),
      row.queue,
      row.owner,
      row.attempts,
      row.generation,
      row.state,
      row.contentType,
      row.faultCode,
      row.faultDetail,
      row.payload,
      row.blob,
    )
    return changes === 1
  }
}

interface Columns {
  readonly task_id: string
  readonly at_ms: number
  readonly queue: string
  readonly owner: string
  readonly attempts: number
  readonly generation: number
  readonly state: string
  readonly content_type: string | null
  readonly fault_code: string | null
  readonly fault_detail: string | null
  readonly payload: Uint8Array | null
  readonly blob: string | null
}

function storedTask(row: Columns): StoredTask {
  const { task_id: taskId, queue, owner, attempts, generation, at_ms: atMs } = row
  return { taskId, queue, owner, attempts, generation, status: statusOf(row, atMs) }
}

function statusOf(row: Columns, atMs: number): StoredTask['status'] {
  const { state } = row
  const fault = row.fault_code === null ? null : { code: row.fault_code as ErrorCode, detail: row.fault_detail ?? '' }
  if (!isEndState(state)) return { state: state as OpenState, atMs, fault }
  if (state !== 'succeeded') return { state, finishedAtMs: atMs, fault: fault! }
  const blob = row.blob === null ? null : parseBlobRef(row.blob)
  return {
    state,
    finishedAtMs: atMs,
    payload: row.payload!,
    contentType: row.content_type!,
    ...(blob === null ? {} : { blob }),
  }
}
