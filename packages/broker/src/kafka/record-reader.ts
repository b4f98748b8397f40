import type { LogRecord, RecordHeader } from '../broker.ts'
import type { Library } from './library.ts'
import { CRC_FROM, HEAD_BYTES } from './record-batch.ts'

/** An interrupted transaction that a broker tells of beside the records. */
export interface AbortedTransaction {
  readonly producerId: bigint
  readonly firstOffset: number
}

export interface ReadRecords {
  readonly records: LogRecord[]
  /** From where to go on: past transaction markers and gaps too. */
  readonly nextOffset: number
  readonly bytes: number
}

const COMPRESSION = 0b111
const LOG_APPEND_TIME = 0b1000
const TRANSACTIONAL = 0b1_0000
const CONTROL = 0b10_0000
const FRAME_BYTES = 12
const MAGIC = 2

/**
 * Reads the batches of one partition of a fetch, without copying: keys and values are views of `bytes`. A batch that
 * is cut off at the end is left for the next fetch. Throws when the bytes are damaged.
 */
export function readRecords(
  library: Library,
  place: { readonly topic: string; readonly partition: number; readonly offset: number },
  bytes: Buffer,
  aborted: readonly AbortedTransaction[],
): ReadRecords {
  const records: LogRecord[] = []
  const abortedNow = new Set<bigint>()
  const abortedNext = [...aborted].sort((one, other) => one.firstOffset - other.firstOffset)
  let nextOffset = place.offset
  let payloadBytes = 0
  for (let at = 0; bytes.length - at >= HEAD_BYTES; ) {
    const batchEnd = at + FRAME_BYTES + bytes.readInt32BE(at + 8)
    if (batchEnd > bytes.length) break
    const batch = bytes.subarray(at, batchEnd)
    at = batchEnd
    checkBatch(library, batch)
    const baseOffset = readInt64(batch, 0)
    const lastOffset = baseOffset + batch.readInt32BE(23)
    const attributes = batch.readInt16BE(21)
    while (abortedNext[0] !== undefined && abortedNext[0].firstOffset <= lastOffset) {
      abortedNow.add(abortedNext.shift()!.producerId)
    }
    if (lastOffset >= nextOffset) {
      if ((attributes & CONTROL) !== 0) {
        abortedNow.delete(batch.readBigInt64BE(43))
      } else if ((attributes & TRANSACTIONAL) === 0 || !abortedNow.has(batch.readBigInt64BE(43))) {
        payloadBytes += readBatch(library, place, batch, baseOffset, attributes, nextOffset, records)
      }
      nextOffset = lastOffset + 1
    }
  }
  return { records, nextOffset, bytes: payloadBytes }
}

function checkBatch(library: Library, batch: Buffer): void {
  if (batch[16] !== MAGIC) throw new Error(`A record batch of format ${batch[16]}: only format ${MAGIC} is understood.`)
  if (library.crc32c(batch.subarray(CRC_FROM)) !== batch.readUInt32BE(17)) {
    throw new Error(`The record batch at offset ${readInt64(batch, 0)} came damaged: its checksum is wrong.`)
  }
}

function readBatch(
  library: Library,
  { topic, partition }: { readonly topic: string; readonly partition: number },
  batch: Buffer,
  baseOffset: number,
  attributes: number,
  from: number,
  into: LogRecord[],
): number {
  const count = batch.readInt32BE(57)
  const firstTimestampMs = readInt64(batch, 27)
  const appendedMs = (attributes & LOG_APPEND_TIME) === 0 ? null : readInt64(batch, 35)
  const cursor = new Cursor(unpack(library, batch.subarray(HEAD_BYTES), attributes & COMPRESSION))
  let payloadBytes = 0
  for (let read = 0; read < count; read++) {
    const bodyBytes = cursor.varint()
    const next = cursor.at + bodyBytes
    cursor.at++
    const timestampMs = appendedMs ?? firstTimestampMs + cursor.varint()
    if (appendedMs !== null) cursor.varint()
    const offset = baseOffset + cursor.varint()
    if (offset >= from) {
      const key = cursor.bytes()
      const value = cursor.bytes()
      payloadBytes += (key?.length ?? 0) + (value?.length ?? 0)
      into.push({ topic, partition, offset, timestampMs, key, value, headers: readHeaders(cursor) })
    }
    cursor.at = next
  }
  return payloadBytes
}

const NO_HEADERS: readonly RecordHeader[] = []
const NO_BYTES = Buffer.alloc(0)

function readHeaders(cursor: Cursor): readonly RecordHeader[] {
  const count = cursor.varint()
  if (count === 0) return NO_HEADERS
  const headers: RecordHeader[] = []
  for (let read = 0; read < count; read++) headers.push([cursor.name(), cursor.bytes() ?? NO_BYTES])
  return headers
}

function unpack(library: Library, body: Buffer, compression: number): Buffer {
  if (compression === 0) return body
  const algorithm = library.compressionsAlgorithmsByBitmask[compression]
  if (algorithm === undefined) throw new Error(`Records are compressed in way ${compression}, which nobody knows here.`)
  return algorithm.decompressSync(body)
}

/** Offsets and times stay far below 2^53. */
function readInt64(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4)
}

class Cursor {
  at = 0
  readonly #bytes: Buffer

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  varint(): number {
    const bytes = this.#bytes
    let byte = bytes[this.at++]!
    if (byte < 0x80) return (byte >>> 1) ^ -(byte & 1)
    let value = byte & 0x7f
    let scale = 128
    do {
      if (this.at >= bytes.length) throw new Error('A record is cut off.')
      byte = bytes[this.at++]!
      value += (byte & 0x7f) * scale
      scale *= 128
    } while (byte >= 0x80)
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  bytes(): Buffer | null {
    const length = this.varint()
    if (length < 0) return null
    const from = this.at
    this.at += length
    return this.#bytes.subarray(from, this.at)
  }

  /** Names repeat from record to record: most come out of a small table instead of being decoded. */
  name(): string {
    const length = this.varint()
    const from = this.at
    this.at += length
    if (length < 1 || length > NAME_BYTES_MAX) return this.#bytes.toString('utf8', from, this.at)
    const bytes = this.#bytes
    const slot = (length * 31 + bytes[from]! * 7 + bytes[from + length - 1]!) & (NAME_SLOTS - 1)
    const known = names[slot]
    if (known !== undefined && known.bytes.length === length && same(known.bytes, bytes, from)) return known.text
    const text = bytes.toString('utf8', from, this.at)
    names[slot] = { bytes: Buffer.from(bytes.subarray(from, this.at)), text }
    return text
  }
}

const NAME_BYTES_MAX = 64
/** A power of two. */
const NAME_SLOTS = 256
const names = new Array<{ readonly bytes: Buffer; readonly text: string } | undefined>(NAME_SLOTS)

function same(name: Buffer, bytes: Buffer, from: number): boolean {
  for (let at = 0; at < name.length; at++) if (name[at] !== bytes[from + at]) return false
  return true
}
