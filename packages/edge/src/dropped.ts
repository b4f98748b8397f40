import type { RecordToPublish } from '@forebay/broker'
import { type DroppedRow, ROW_VERSION } from './row.ts'
import { sequenceHeader, sourceHeader } from './source-position.ts'

export type Loss = Omit<DroppedRow, 'v' | 'kind' | 'time'>

/** The row that says so, so that no gap is silent. */
export function droppedRecord(topic: string, loss: Loss, wallMs: number): RecordToPublish {
  const { reason, source, epoch, first, end, lines, from = null, until } = loss
  const row: DroppedRow = {
    v: ROW_VERSION,
    kind: 'dropped',
    // Of a stretch of time its end, so that a row that is told again is the same.
    time: until ?? new Date(wallMs).toISOString(),
    reason,
    source,
    epoch,
    first,
    end,
    lines,
    ...(until === undefined ? {} : { from, until }),
  }
  return {
    topic,
    key: Buffer.from(source),
    value: Buffer.from(JSON.stringify(row)),
    headers: [sourceHeader(source, epoch), sequenceHeader(first, end ?? first)],
  }
}
