import type { LogRecord, RecordHeader } from '@forebay/broker'
import type { AttemptRecord } from '../task.ts'

/**
 * What a parked record carries of the attempts before it, beside their number: durations, so that it holds on any
 * machine. Only a record with attempts has it.
 */
export interface ParkedHistory {
  /** Workers that were lost under it. */
  readonly losses: number
  /** From the begin of the first attempt to the moment it is due. ms */
  readonly elapsedMs: number
  /** For its dead letter, should it come to that. */
  readonly failures: readonly AttemptRecord[]
}

export const NO_HISTORY: ParkedHistory = { losses: 0, elapsedMs: 0, failures: [] }

export function withHistory(record: LogRecord, { losses, elapsedMs, failures }: ParkedHistory): LogRecord {
  const headers: RecordHeader[] = [
    ...withoutHistory(record).headers,
    [LOSSES, Buffer.from(String(losses))],
    [ELAPSED, Buffer.from(String(Math.round(elapsedMs)))],
  ]
  const isSmall = record.value === null || record.value.length <= BYTES_WITH_FAILURES_MAX
  if (failures.length > 0 && isSmall) headers.push([FAILURES, Buffer.from(JSON.stringify(failures))])
  return { ...record, headers }
}

/** The record as it was handed in. */
export function withoutHistory(record: LogRecord): LogRecord {
  if (!record.headers.some(([name]) => OURS.has(name))) return record
  return { ...record, headers: record.headers.filter(([name]) => !OURS.has(name)) }
}

export function historyOf(record: LogRecord): ParkedHistory {
  let { losses, elapsedMs, failures } = NO_HISTORY
  for (const [name, value] of record.headers) {
    if (name === LOSSES) losses = natural(value)
    else if (name === ELAPSED) elapsedMs = natural(value)
    else if (name === FAILURES) failures = decodeFailures(value)
  }
  return { losses, elapsedMs, failures }
}

const LOSSES = 'fb-losses'
const ELAPSED = 'fb-elapsed'
const FAILURES = 'fb-failures'
const OURS: ReadonlySet<string> = new Set([LOSSES, ELAPSED, FAILURES])
/** A larger one goes without its failures: with them it might not fit into the log again. */
const BYTES_WITH_FAILURES_MAX = 512 * 1024

function decodeFailures(value: Uint8Array): readonly AttemptRecord[] {
  try {
    const failures: unknown = JSON.parse(Buffer.from(value).toString())
    return Array.isArray(failures) ? (failures as AttemptRecord[]) : []
  } catch {
    return []
  }
}

function natural(value: Uint8Array): number {
  const digits = Buffer.from(value).toString('latin1')
  return /^\d{1,15}$/.test(digits) ? Number(digits) : 0
}
