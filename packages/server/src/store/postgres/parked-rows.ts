import type { RecordHeader } from '@forebay/broker'
import type { EditedBody, ParkedRow, ParkedSummary, ParkReason, RowToPark, TakenRow, Wish } from '../parking.ts'
import { count, PackedBytes, text, textOrNull, wholeMs } from './columns.ts'
import { errorCode } from './task-rows.ts'

/** As `park` wants them, from `offsets` on. */
export function parkedColumns(rows: readonly RowToPark[]): readonly unknown[] {
  const bytes = new PackedBytes()
  const starts = rows.map(({ record: { key, value } }) => {
    if (key !== null) bytes.add(key)
    return bytes.add(value ?? NO_BYTES)
  })
  return [
    rows.map((row) => row.record.offset),
    rows.map((row) => Math.trunc(row.record.timestampMs)),
    rows.map((row) => (row.dueInMs === null ? null : wholeMs(row.dueInMs))),
    rows.map((row) => wholeMs(row.deadlineInMs)),
    rows.map((row) => count(row.attempts)),
    rows.map((row) => count(row.losses)),
    rows.map((row) => textOrNull(row.taskId)),
    rows.map((row) => text(row.owner)),
    rows.map((row) => textOrNull(row.line)),
    rows.map((row) => row.reason),
    rows.map((row) => row.fault?.code ?? null),
    rows.map((row) => textOrNull(row.fault?.detail ?? null)),
    rows.map((row) => row.record.topic),
    rows.map((row) => packHeaders(row.record.headers)),
    rows.map((row) => row.record.key?.length ?? null),
    starts,
    rows.map((row) => row.record.value?.length ?? null),
    bytes.finish(),
  ]
}

const NO_BYTES = new Uint8Array(0)

/** A row of `parked`, without key, headers and value. */
export interface SummaryColumns {
  readonly queue: string
  readonly partition: number
  readonly log_offset: number
  readonly parked_at_ms: number
  readonly due_at_ms: number | null
  readonly deadline_at_ms: number
  readonly attempts: number
  readonly losses: number
  readonly task_id: string
  readonly owner: string
  readonly line: string | null
  readonly reason: string
  readonly wish: string | null
  readonly fault_code: string | null
  readonly fault_detail: string | null
}

export const SUMMARY_COLUMNS = `queue, partition, log_offset, parked_at_ms, due_at_ms, deadline_at_ms, attempts, losses,
  task_id, owner, line, reason, wish, fault_code, fault_detail`

export interface ParkedColumns extends SummaryColumns {
  readonly wakes_at_ms: number
  readonly timestamp_ms: number
  readonly topic: string
  readonly key: Buffer | null
  readonly headers: string
  readonly value: Buffer | null
}

export function parkedRow(row: ParkedColumns): ParkedRow {
  const { partition, topic, log_offset: offset, timestamp_ms: timestampMs, key, value } = row
  const headers = unpackHeaders(row.headers)
  return { ...facts(row), record: { topic, partition, offset, timestampMs, key, value, headers } }
}

export interface TakenColumns extends ParkedColumns {
  readonly now_ms: number
}

export function takenRow(row: TakenColumns): TakenRow {
  return { ...parkedRow(row), nowMs: row.now_ms }
}

export function parkedSummary(row: SummaryColumns & { readonly bytes: number }): ParkedSummary {
  return { ...facts(row), offset: row.log_offset, bytes: row.bytes }
}

function facts(row: SummaryColumns): Omit<ParkedRow, 'record'> {
  const { fault_code: code, fault_detail: detail } = row
  return {
    queue: row.queue,
    partition: row.partition,
    taskId: row.task_id,
    owner: row.owner,
    line: row.line,
    reason: row.reason as ParkReason,
    attempts: row.attempts,
    losses: row.losses,
    fault: code === null ? null : { code: errorCode(code), detail: detail ?? '' },
    parkedAtMs: row.parked_at_ms,
    dueAtMs: row.due_at_ms,
    deadlineAtMs: row.deadline_at_ms,
    wish: row.wish as Wish | null,
  }
}

/** JSON, so that an operator can read them; every name fits, as JSON escapes what PostgreSQL's texts cannot hold. */
function packHeaders(headers: readonly RecordHeader[]): string {
  return JSON.stringify(headers.map(([name, value]) => [name, Buffer.from(value).toString('base64')]))
}

function unpackHeaders(packed: string): readonly RecordHeader[] {
  const headers = JSON.parse(packed) as readonly (readonly [string, string])[]
  return headers.map(([name, value]) => [name, Buffer.from(value, 'base64')] as const)
}

/** The headers of a record whose body is now this one. */
export function headersOfBody(packed: string, { contentType }: EditedBody): string {
  const kept = unpackHeaders(packed).filter(([name]) => !OF_BODY.has(name))
  return packHeaders([...kept, ['content-type', Buffer.from(contentType)]])
}

const OF_BODY = new Set(['content-type', 'fb-blob'])
