import type { LogRecord } from '@forebay/broker'
import type { IncomingRow } from './parquet-writer.ts'
import { placeInLog } from './read-row.ts'

/** A task as it was accepted: a record of its queue's topic (docs/records.md). */
export function readTask(record: LogRecord, queue: string): IncomingRow | null {
  const said = headersOf(record)
  const isOurs = said.has('ce_id') && said.has('fb-owner') && said.get('fb-owner') !== FOREIGN_OWNER
  const place = `${record.topic}:${record.partition}:${record.offset}`
  const generation = Number(said.get('fb-generation') ?? 0)
  return taskRow(record, {
    time: said.get('ce_time') ?? new Date(record.timestampMs).toISOString(),
    task: isOurs ? said.get('ce_id')! : (said.get('fb-task') ?? place),
    queue,
    key: record.key === null ? '' : textOf(record.key),
    owner: isOurs ? said.get('fb-owner')! : FOREIGN_OWNER,
    state: generation > 0 || said.has('fb-attempts') ? 'again' : 'accepted',
    attempts: Number(said.get('fb-attempts') ?? 0),
    generation,
    trace: TRACEPARENT.exec(said.get('traceparent') ?? '')?.[1] ?? '',
  })
}

/** A result, or a note of what happened before: a record of `forebay.results`. Null for what a worker streamed. */
export function readTaskReport(record: LogRecord): IncomingRow | null {
  const said = headersOf(record)
  const kind = said.get('fb-kind')
  if (record.key === null || (kind !== 'result' && kind !== 'note')) return null
  const state = said.get('fb-state') ?? ''
  const timeMs = Number(said.get('fb-time'))
  return taskRow(record, {
    time: new Date(Number.isSafeInteger(timeMs) && timeMs > 0 ? timeMs : record.timestampMs).toISOString(),
    task: textOf(record.key),
    queue: said.get('fb-queue') ?? '',
    owner: said.get('fb-owner') ?? '',
    state,
    attempts: Number(said.get('fb-attempts') ?? 0),
    generation: Number(said.get('fb-generation') ?? 0),
    ...(state === 'succeeded' ? {} : faultOf(record)),
  })
}

function taskRow(record: LogRecord, document: object): IncomingRow {
  const place = placeInLog(record)
  return { table: 'task_records', ...place, recordMs: record.timestampMs, document: JSON.stringify(document) }
}

/** Codes are for joining; the detail is what an operator reads. */
function faultOf({ value }: LogRecord): object {
  if (value === null || value.length === 0) return {}
  try {
    const { code, detail } = JSON.parse(textOf(value)) as { readonly code?: unknown; readonly detail?: unknown }
    return { code, detail }
  } catch {
    return {}
  }
}

function headersOf({ headers }: LogRecord): ReadonlyMap<string, string> {
  return new Map(headers.map(([name, value]) => [name, textOf(value)]))
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()
}

const FOREIGN_OWNER = 'log'
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-/
