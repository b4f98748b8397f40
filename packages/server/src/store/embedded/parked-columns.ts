import type { ErrorCode } from '@forebay/protocol'
import type { ParkedRow, ParkReason, Wish } from '../parking.ts'
import type { FoundRows } from './parking-calls.ts'

export const ROW_COLUMNS = `parked.id, queue, partition, log_offset, topic, task_id, owner, line, reason, attempts,
  losses, fault_code, fault_detail, parked_at_ms, due_at_ms, deadline_at_ms, wish, bytes`

export interface ParkedColumns extends SummaryColumns {
  readonly record: Uint8Array
}

export interface SummaryColumns {
  readonly id: number
  readonly queue: string
  readonly partition: number
  readonly log_offset: number
  readonly topic: string
  readonly task_id: string
  readonly owner: string
  readonly line: string | null
  readonly reason: string
  readonly attempts: number
  readonly losses: number
  readonly fault_code: string | null
  readonly fault_detail: string | null
  readonly parked_at_ms: number
  readonly due_at_ms: number | null
  readonly deadline_at_ms: number
  readonly wish: string | null
  readonly bytes: number
}

export function rowOf(row: SummaryColumns): Omit<ParkedRow, 'record'> {
  return {
    queue: row.queue,
    partition: row.partition,
    taskId: row.task_id,
    owner: row.owner,
    line: row.line,
    reason: row.reason as ParkReason,
    attempts: row.attempts,
    losses: row.losses,
    fault: row.fault_code === null ? null : { code: row.fault_code as ErrorCode, detail: row.fault_detail ?? '' },
    parkedAtMs: row.parked_at_ms,
    dueAtMs: row.due_at_ms,
    deadlineAtMs: row.deadline_at_ms,
    wish: row.wish as Wish | null,
  }
}

export function foundRows(rows: readonly ParkedColumns[]): FoundRows {
  const bytes = rows.reduce((sum, row) => sum + row.record.length, 0)
  const records = new Uint8Array(bytes)
  let at = 0
  for (const { record } of rows) {
    records.set(record, at)
    at += record.length
  }
  return {
    rows: rows.map((row) => ({
      ...rowOf(row),
      offset: row.log_offset,
      topic: row.topic,
      recordBytes: row.record.length,
    })),
    records: records.buffer,
  }
}
