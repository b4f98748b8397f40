import type { LogRecord } from '@forebay/broker'
import { packedBytesMax, packRecord, unpackChunk } from '@forebay/broker/embedded'
import type { EditedBody, ParkedRow, RowToPark } from '../parking.ts'
import type { FoundRows, PackedRow } from './parking-calls.ts'

/**
 * Records cross to the store's thread packed into one buffer that moves: cloning them would copy whatever larger piece
 * of memory each is a view of. They lie in the table as they were packed.
 */
export class ParkedPacker {
  #bytes: Buffer
  #at = 0

  constructor(bytesHint: number) {
    this.#bytes = Buffer.allocUnsafeSlow(Math.max(bytesHint, 1024))
  }

  add({ record, ...rest }: RowToPark): PackedRow {
    const start = this.#at
    this.#reserve(packedBytesMax(record))
    this.#at = packRecord(this.#bytes, start, record)
    const { offset, topic, value } = record
    return { ...rest, offset, topic, bytes: value?.length ?? 0, start, end: this.#at }
  }

  /** The packer must not be used any more. */
  finish(): ArrayBuffer {
    return this.#bytes.buffer as ArrayBuffer
  }

  #reserve(bytes: number): void {
    const needed = this.#at + bytes
    if (needed <= this.#bytes.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2))
    grown.set(this.#bytes.subarray(0, this.#at))
    this.#bytes = grown
  }
}

/** About how many bytes rows take; for buffers and bounds. */
export function bytesOfRows(rows: readonly RowToPark[]): number {
  let bytes = 0
  for (const { record } of rows) bytes += packedBytesMax(record)
  return bytes
}

export function unpackRows({ rows, records }: FoundRows): readonly ParkedRow[] {
  let at = 0
  return rows.map(({ offset, topic, recordBytes, ...rest }) => {
    const packed = Buffer.from(records, at, recordBytes)
    at += recordBytes
    return { ...rest, record: unpackRecord(packed, { topic, partition: rest.partition, offset }) }
  })
}

/** The packed record with another body: what it says of the old one goes. */
export function withBody(packed: Uint8Array, { payload, contentType }: EditedBody): Buffer {
  const record = unpackRecord(Buffer.from(packed), { topic: '', partition: 0, offset: 0 })
  const headers = record.headers.filter(([name]) => name !== 'content-type' && name !== 'fb-blob')
  headers.push(['content-type', Buffer.from(contentType)])
  const edited = { ...record, headers, value: payload }
  const into = Buffer.allocUnsafe(packedBytesMax(edited))
  return into.subarray(0, packRecord(into, 0, edited))
}

function unpackRecord(packed: Buffer, place: Pick<LogRecord, 'topic' | 'partition' | 'offset'>): LogRecord {
  const found: LogRecord[] = []
  unpackChunk(packed, { topic: place.topic, partition: place.partition, base: place.offset }, 0, found)
  return found[0]!
}
