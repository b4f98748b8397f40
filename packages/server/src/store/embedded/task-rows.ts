import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { ErrorCode } from '@forebay/protocol'
import { isEndState, type OpenState } from '../../task.ts'
import type { StoredTask } from '../store.ts'
import type { PackedBatch, TaskRow } from './batch-codec.ts'

/** What is known of tasks, and how far each partition has been read. Used inside the caller's transaction. */
export class TaskRows {
  readonly #result: StatementSync
  readonly #note: StatementSync
  readonly #get: StatementSync
  readonly #position: StatementSync
  readonly #positionOf: StatementSync
  readonly #positions: StatementSync

  constructor(database: DatabaseSync) {
    const insert = `INSERT INTO tasks (task_id, ended, at_ms, queue, owner, attempts, state, content_type, fault_code,
      fault_detail, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (task_id) DO UPDATE SET`
    const unlessEnded = 'WHERE tasks.ended = 0'
    this.#result = database.prepare(
      `${insert} ended = 1, at_ms = excluded.at_ms, queue = excluded.queue, owner = excluded.owner,
       attempts = excluded.attempts, state = excluded.state, content_type = excluded.content_type,
       fault_code = excluded.fault_code, fault_detail = excluded.fault_detail, payload = excluded.payload
       ${unlessEnded}`,
    )
    this.#note = database.prepare(
      `${insert} at_ms = excluded.at_ms, attempts = excluded.attempts, state = excluded.state,
       fault_code = excluded.fault_code, fault_detail = excluded.fault_detail ${unlessEnded}`,
    )
    this.#get = database.prepare('SELECT * FROM tasks WHERE task_id = ?')
    this.#position = database.prepare(
      'INSERT INTO positions VALUES (?, ?, ?) ON CONFLICT (topic, partition) DO UPDATE SET next = excluded.next',
    )
    this.#positionOf = database.prepare('SELECT next FROM positions WHERE topic = ? AND partition = ?')
    this.#positions = database.prepare('SELECT partition, next FROM positions WHERE topic = ?')
  }

  /** Returns how many results came second. */
  apply({ topic, partition, next, rows }: PackedBatch, nowMs: number): number {
    const position = (this.#positionOf.get(topic, partition)?.next as number | undefined) ?? 0
    if (next <= position) return 0
    let duplicates = 0
    for (const row of rows) {
      if (row.offset < position) continue
      if (row.ended) duplicates += this.#write(this.#result, row, nowMs) ? 0 : 1
      else this.#write(this.#note, row, nowMs)
    }
    this.#position.run(topic, partition, next)
    return duplicates
  }

  get(taskId: string): StoredTask | null {
    const row = this.#get.get(taskId)
    return row === undefined ? null : storedTask(row as unknown as Columns)
  }

  positions(topic: string): ReadonlyMap<number, number> {
    return new Map(this.#positions.all(topic).map((row) => [row.partition as number, row.next as number]))
  }

  /** A moment that lies ahead, by somebody's clock or malice, would keep the row for ever. */
  #write(statement: StatementSync, row: TaskRow, nowMs: number): boolean {
    const { changes } = statement.run(
      row.taskId,
      row.ended ? 1 : 0,
      Math.min(row.atMs, nowMs),
      row.queue,
      row.owner,
      row.attempts,
      row.state,
      row.contentType,
      row.faultCode,
      row.faultDetail,
      row.payload,
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
  readonly state: string
  readonly content_type: string | null
  readonly fault_code: string | null
  readonly fault_detail: string | null
  readonly payload: Uint8Array | null
}

function storedTask(row: Columns): StoredTask {
  const { task_id: taskId, queue, owner, attempts, at_ms: atMs } = row
  const fault = row.fault_code === null ? null : { code: row.fault_code as ErrorCode, detail: row.fault_detail ?? '' }
  const { state } = row
  if (!isEndState(state)) {
    return { taskId, queue, owner, attempts, generation: 0, status: { state: state as OpenState, atMs, fault } }
  }
  if (state !== 'succeeded') {
    return { taskId, queue, owner, attempts, generation: 0, status: { state, finishedAtMs: atMs, fault: fault! } }
  }
  const { payload, content_type: contentType } = row
  return {
    taskId,
    queue,
    owner,
    attempts,
    generation: 0,
    status: { state, finishedAtMs: atMs, payload: payload!, contentType: contentType! },
  }
}
