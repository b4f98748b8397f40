import { isUtf8 } from 'node:buffer'
import type { LogRecord } from '@forebay/broker'
import { ROW_VERSION, type UndecodableRow } from '../row.ts'
import { readPosition } from '../source-position.ts'
import type { IncomingRow } from './parquet-writer.ts'

/** A record of the edge topic. One that no collector wrote stands for its own place in the log. */
export function readRow(record: LogRecord): IncomingRow {
  const place = readPosition(record) ?? placeInLog(record)
  const bytes = Buffer.from(record.value ?? EMPTY)
  const document = isUtf8(bytes) ? bytes.toString() : JSON.stringify(undecodable(bytes, record.timestampMs))
  return { table: null, ...place, recordMs: record.timestampMs, document }
}

export function placeInLog({ topic, partition, offset }: LogRecord) {
  return { source: `${topic}:${partition}`, epoch: LOG_EPOCH, first: offset, end: offset + 1 }
}

function undecodable(bytes: Buffer, wallMs: number): UndecodableRow {
  return {
    v: ROW_VERSION,
    kind: 'undecodable',
    time: new Date(wallMs).toISOString(),
    reason: 'not-utf8',
    bytes: bytes.toString('base64'),
    continues: false,
  }
}

/** Of rows that stand for their own place in the log. */
export const LOG_EPOCH = 'log'
const EMPTY = new Uint8Array()
