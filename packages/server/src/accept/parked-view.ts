import { textOf } from '../body-text.ts'
import { isoTime } from '../iso-time.ts'
import { OCTET_STREAM } from '../records.ts'
import type { ParkedRow, ParkedSummary } from '../store/parking.ts'

/** Parked tasks as operators see them, in JSON. */

export function parkedSummaryView(row: ParkedSummary): object {
  return { ...common(row), offset: row.offset, bytes: row.bytes }
}

/** With the body: as text where it is UTF-8, else in base64; a large one is named by where it is kept. */
export function parkedRowView(row: ParkedRow): object {
  const { offset, value, headers } = row.record
  const bytes = value ?? new Uint8Array()
  const text = textOf(bytes)
  const header = (name: string) => {
    const found = headers.find((one) => one[0] === name)
    return found === undefined ? null : textOf(found[1])
  }
  const blob = header('fb-blob')
  return {
    ...common(row),
    offset,
    bytes: bytes.length,
    contentType: header('content-type') ?? OCTET_STREAM,
    ...(blob !== null
      ? { blob }
      : text === null
        ? { bodyBase64: Buffer.from(bytes).toString('base64') }
        : { body: text }),
  }
}

function common(row: Omit<ParkedRow, 'record'>) {
  return {
    id: row.taskId,
    queue: row.queue,
    key: row.line,
    owner: row.owner,
    reason: row.reason,
    attempts: row.attempts,
    losses: row.losses,
    fault: row.fault,
    parkedAt: isoTime(row.parkedAtMs),
    dueAt: row.dueAtMs === null ? null : isoTime(row.dueAtMs),
    deadlineAt: isoTime(row.deadlineAtMs),
    wish: row.wish,
    partition: row.partition,
  }
}
