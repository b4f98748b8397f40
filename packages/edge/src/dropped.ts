import type { RecordToPublish } from '@forebay/broker'
import { type DroppedReason, type DroppedRow, ROW_VERSION } from './row.ts'
import { sequenceHeader, sourceHeader } from './source-position.ts'

export interface Loss {
  readonly reason: DroppedReason
  readonly source: string
  readonly epoch: string
  readonly first: number
  /** Null where that cannot be known. */
  readonly end: number | null
  readonly lines: number | null
}

/** The row that says so, so that no gap is silent. */
export function droppedRecord(topic: string, loss: Loss, wallMs: number): RecordToPublish {
  const { reason, source, epoch, first, end, lines } = loss
  const row: DroppedRow = {
    v: ROW_VERSION,
    kind: 'dropped',
    time: new Date(wallMs).toISOString(),
    reason,
    source,
    epoch,
    first,
    end,
    lines,
  }
  return {
    topic,
    key: Buffer.from(source),
    value: Buffer.from(JSON.stringify(row)),
    headers: [sourceHeader(source, epoch), sequenceHeader(first, end ?? first)],
  }
}
