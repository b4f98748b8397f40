import type { LogRecord } from '@forebay/broker'

/**
 * What a parked record carries of the attempts before it, beside their number: durations, so that it holds on any
 * machine. Only a record with attempts has it.
 */
export interface ParkedHistory {
  /** Workers that were lost under it. */
  readonly losses: number
  /** From the begin of the first attempt to the moment it is due. ms */
  readonly elapsedMs: number
}

export const NO_HISTORY: ParkedHistory = { losses: 0, elapsedMs: 0 }

export function withHistory(record: LogRecord, { losses, elapsedMs }: ParkedHistory): LogRecord {
  const { headers } = withoutHistory(record)
  return {
    ...record,
    headers: [...headers, [LOSSES, Buffer.from(String(losses))], [ELAPSED, Buffer.from(String(Math.round(elapsedMs)))]],
  }
}

/** The record as it was handed in. */
export function withoutHistory(record: LogRecord): LogRecord {
  if (!record.headers.some(([name]) => name === LOSSES || name === ELAPSED)) return record
  return { ...record, headers: record.headers.filter(([name]) => name !== LOSSES && name !== ELAPSED) }
}

export function historyOf(record: LogRecord): ParkedHistory {
  let { losses, elapsedMs } = NO_HISTORY
  for (const [name, value] of record.headers) {
    if (name === LOSSES) losses = natural(value)
    else if (name === ELAPSED) elapsedMs = natural(value)
  }
  return { losses, elapsedMs }
}

const LOSSES = 'fb-losses'
const ELAPSED = 'fb-elapsed'

function natural(value: Uint8Array): number {
  const digits = Buffer.from(value).toString('latin1')
  return /^\d{1,15}$/.test(digits) ? Number(digits) : 0
}
