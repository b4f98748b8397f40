import { undecodable } from '../data-faults.ts'

/** Bytes that tell the schema they were written by. */
export interface Framed {
  readonly schemaId: number
  /** Empty where the format has none. */
  readonly messageIndex: readonly number[]
  readonly bytes: Uint8Array
}

/** Confluent's wire format: a zero byte, the id in four bytes, for Protobuf the index of the message, then the data. */
export function frame({ schemaId, messageIndex, bytes }: Framed, hasIndex: boolean): Uint8Array {
  const head = Buffer.alloc(HEAD_BYTES)
  head.writeUInt32BE(schemaId, 1)
  return Buffer.concat([head, hasIndex ? indexBytes(messageIndex) : EMPTY, bytes])
}

/** Throws EVENT_UNDECODABLE. */
export function unframe(given: Uint8Array, hasIndex: boolean): Framed {
  const bytes = Buffer.from(given.buffer, given.byteOffset, given.byteLength)
  if (bytes.length < HEAD_BYTES) throw undecodable(`${bytes.length} bytes are too few for the id of a schema`)
  if (bytes[0] !== 0) throw undecodable(`it begins with byte ${bytes[0]}, not with 0 and the id of a schema`)
  const schemaId = bytes.readUInt32BE(1)
  if (!hasIndex) return { schemaId, messageIndex: [], bytes: bytes.subarray(HEAD_BYTES) }
  const { messageIndex, at } = readIndex(bytes, HEAD_BYTES)
  return { schemaId, messageIndex, bytes: bytes.subarray(at) }
}

/** Its length, then its numbers, each a zigzag varint; [0], the first message, is one zero byte. */
function indexBytes(index: readonly number[]): Buffer {
  if (index.length === 1 && index[0] === 0) return Buffer.from([0])
  return Buffer.from([index.length, ...index].flatMap(varint))
}

function varint(value: number): number[] {
  const bytes: number[] = []
  let left = value * 2
  for (; left > 0x7f; left >>>= 7) bytes.push((left & 0x7f) | 0x80)
  return [...bytes, left]
}

function readIndex(bytes: Buffer, from: number): { readonly messageIndex: readonly number[]; readonly at: number } {
  let at = from
  const next = () => {
    let value = 0
    for (let shift = 0; shift < VARINT_BITS_MAX; shift += 7) {
      const byte = bytes[at++]
      if (byte === undefined) break
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80 && value % 2 === 0) return value / 2
    }
    throw undecodable('the index of its message is none')
  }
  const length = next()
  if (length > INDEX_LENGTH_MAX) throw undecodable(`the index of its message has ${length} levels`)
  const messageIndex = length === 0 ? [0] : Array.from({ length }, next)
  return { messageIndex, at }
}

const HEAD_BYTES = 5
const EMPTY = Buffer.alloc(0)
const VARINT_BITS_MAX = 35
const INDEX_LENGTH_MAX = 100
