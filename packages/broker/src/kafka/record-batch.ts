import type { RecordHeader } from '../broker.ts'

/**
 * One batch in Kafka's record format, version 2, written in place: each record is copied once, from the caller's
 * bytes into the buffer that goes to the broker.
 */
export class RecordBatch {
  count = 0
  #buffer: Buffer
  #end = HEAD_BYTES
  readonly #firstTimestampMs: number
  /** The batch as it was last compressed, while it has not grown since. */
  #packed: { readonly count: number; readonly bytes: Buffer } | null = null

  constructor(firstTimestampMs: number, bytes = FIRST_BYTES) {
    this.#buffer = Buffer.allocUnsafe(bytes)
    this.#firstTimestampMs = firstTimestampMs
  }

  get bytes(): number {
    return this.#end
  }

  append(
    key: Uint8Array | null,
    value: Uint8Array | null,
    headers: readonly RecordHeader[],
    timestampMs: number,
  ): void {
    const delta = timestampMs - this.#firstTimestampMs
    let bodyBytes = 1 + varintBytes(delta) + varintBytes(this.count) + varintBytes(headers.length)
    bodyBytes += bytesBytes(key) + bytesBytes(value)
    for (const [name, content] of headers) {
      const nameBytes = Buffer.byteLength(name)
      bodyBytes += varintBytes(nameBytes) + nameBytes + bytesBytes(content)
    }
    this.#reserve(bodyBytes + VARINT_BYTES_MAX)
    const buffer = this.#buffer
    let at = writeVarint(buffer, this.#end, bodyBytes)
    buffer[at++] = 0
    at = writeVarint(buffer, at, delta)
    at = writeVarint(buffer, at, this.count)
    at = writeBytes(buffer, at, key)
    at = writeBytes(buffer, at, value)
    at = writeVarint(buffer, at, headers.length)
    for (const [name, content] of headers) {
      const nameBytes = Buffer.byteLength(name)
      at = writeVarint(buffer, at, nameBytes)
      buffer.write(name, at, nameBytes, 'utf8')
      at = writeBytes(buffer, at + nameBytes, content)
    }
    this.#end = at
    this.count++
  }

  /** Fills in the head; again for each new identity of the producer. `codec` null: as it is. */
  seal(identity: BatchIdentity, crc32c: (bytes: Buffer) => number, codec: BatchCodec | null = null): Buffer {
    const plain = this.#buffer.subarray(0, this.#end)
    const packed = codec === null ? plain : this.#pack(plain, codec)
    const isSmaller = packed.length < plain.length
    const bytes = isSmaller ? packed : plain
    bytes.writeBigInt64BE(0n, 0)
    bytes.writeInt32BE(bytes.length - 12, 8)
    bytes.writeInt32BE(-1, 12)
    bytes[16] = 2
    bytes.writeInt16BE(isSmaller ? codec!.bitmask : 0, 21)
    bytes.writeInt32BE(this.count - 1, 23)
    bytes.writeBigInt64BE(BigInt(this.#firstTimestampMs), 27)
    bytes.writeBigInt64BE(BigInt(this.#firstTimestampMs), 35)
    bytes.writeBigInt64BE(identity.producerId, 43)
    bytes.writeInt16BE(identity.epoch, 51)
    bytes.writeInt32BE(identity.sequence, 53)
    bytes.writeInt32BE(this.count, 57)
    bytes.writeUInt32BE(crc32c(bytes.subarray(CRC_FROM)), 17)
    return bytes
  }

  /** Everything after the head is compressed as one piece. */
  #pack(plain: Buffer, codec: BatchCodec): Buffer {
    if (this.#packed?.count === this.count) return this.#packed.bytes
    const body = codec.compressSync(plain.subarray(HEAD_BYTES))
    const bytes = Buffer.allocUnsafe(HEAD_BYTES + body.length)
    bytes.set(body, HEAD_BYTES)
    this.#packed = { count: this.count, bytes }
    return bytes
  }

  #reserve(bytes: number): void {
    const needed = this.#end + bytes
    if (needed <= this.#buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2))
    this.#buffer.copy(larger, 0, 0, this.#end)
    this.#buffer = larger
  }
}

/** One of the ways of compression that Kafka knows; `bitmask` is its number in a batch's attributes. */
export interface BatchCodec {
  readonly bitmask: number
  compressSync(bytes: Buffer): Buffer
}

export interface BatchIdentity {
  readonly producerId: bigint
  readonly epoch: number
  readonly sequence: number
}

/** Head of a batch before its first record. */
export const HEAD_BYTES = 61
/** The checksum covers everything from here on. */
export const CRC_FROM = 21
const FIRST_BYTES = 8 * 1024
const VARINT_BYTES_MAX = 10

/** Bytes a record adds to a batch at most, beyond its key, value and headers. */
export function recordBytes(key: Uint8Array | null, value: Uint8Array, headers: readonly RecordHeader[]): number {
  let bytes = (key?.length ?? 0) + value.length
  for (const [name, content] of headers) bytes += Buffer.byteLength(name) + content.length
  return bytes
}

function bytesBytes(bytes: Uint8Array | null): number {
  return bytes === null ? 1 : varintBytes(bytes.length) + bytes.length
}

/** Zigzag: small numbers of either sign are short. Lengths and deltas here stay within 31 bits. */
function varintBytes(value: number): number {
  let rest = ((value << 1) ^ (value >> 31)) >>> 0
  let bytes = 1
  while (rest >= 0x80) {
    rest >>>= 7
    bytes++
  }
  return bytes
}

function writeVarint(buffer: Buffer, from: number, value: number): number {
  let rest = ((value << 1) ^ (value >> 31)) >>> 0
  let at = from
  while (rest >= 0x80) {
    buffer[at++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  buffer[at++] = rest
  return at
}

function writeBytes(buffer: Buffer, from: number, bytes: Uint8Array | null): number {
  if (bytes === null) return writeVarint(buffer, from, -1)
  const at = writeVarint(buffer, from, bytes.length)
  buffer.set(bytes, at)
  return at + bytes.length
}
