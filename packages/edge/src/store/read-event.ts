import type { LogRecord } from '@forebay/broker'
import { fromRecord } from '@forebay/protocol/cloudevents'
import type { IncomingRow } from './parquet-writer.ts'
import { placeInLog } from './read-row.ts'

/** What an event says of itself; its data stays in the log. Null for a record that is none. */
export function readEvent(record: LogRecord): IncomingRow | null {
  const event = fromRecord(record)
  if (typeof event === 'string') return null
  const { id, type, source, subject, key, timeMs, traceparent, bytes } = event
  const document = {
    time: new Date(timeMs).toISOString(),
    ...{ topic: record.topic, partition: record.partition, offset: record.offset },
    ...{ id, type, origin: source, subject: subject ?? '', key: key ?? '' },
    trace: traceparent?.split('-')[1] ?? '',
    bytes: bytes.length,
  }
  const place = placeInLog(record)
  return { table: 'events', ...place, recordMs: record.timestampMs, document: JSON.stringify(document) }
}
