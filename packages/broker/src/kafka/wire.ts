import type { Connection } from '@platformatic/kafka'
import type { FetchPlan } from './fetch-session.ts'
import type { Library } from './library.ts'
import type { AbortedTransaction } from './record-reader.ts'

/**
 * Produce and fetch in our own words: the library's codecs make an object of every record and header, which costs
 * several times what the network does. Everything else goes through the library's.
 */

export interface PartitionToProduce {
  readonly topic: string
  readonly partition: number
  readonly batch: Buffer
}

export interface ProducedPartition {
  readonly topic: string
  readonly partition: number
  readonly code: number
  readonly baseOffset: number
  readonly message: string | null
}

const PRODUCE = { key: 0, version: 9 } as const
const FETCH = { key: 1, version: 12 } as const
const ACKS_ALL = -1
const READ_COMMITTED = 1

/** Version 9 (Kafka 2.8 and newer). The bytes are copied before this returns. */
export function produce(
  library: Library,
  connection: Connection,
  partitions: readonly PartitionToProduce[],
  timeoutMs: number,
  answer: (error: Error | null, produced?: ProducedPartition[]) => void,
): void {
  const request = () => {
    const writer = library.Writer.create().appendString(null).appendInt16(ACKS_ALL).appendInt32(timeoutMs)
    appendByTopic(writer, partitions, ({ partition, batch }) => {
      writer
        .appendInt32(partition)
        .appendUnsignedVarInt(batch.length + 1)
        .append(batch)
        .appendTaggedFields()
    })
    return writer.appendTaggedFields()
  }
  connection.send(PRODUCE.key, PRODUCE.version, request, readProduced, true, true, answer)
}

export interface FetchedPartition {
  readonly topic: string
  readonly partition: number
  readonly code: number
  readonly aborted: readonly AbortedTransaction[]
  readonly bytes: Buffer
}

export interface Fetched {
  /** Of the fetch as a whole: a refused session, for one. */
  readonly code: number
  readonly sessionId: number
  readonly partitions: readonly FetchedPartition[]
}

export interface FetchLimits {
  readonly waitMs: number
  readonly bytesMax: number
  readonly partitionBytesMax: number
}

/** Version 12 (Kafka 2.7 and newer). */
export function fetch(
  library: Library,
  connection: Connection,
  plan: FetchPlan,
  limits: FetchLimits,
  answer: (error: Error | null, fetched?: Fetched) => void,
): void {
  const request = () => {
    const writer = library.Writer.create()
      .appendInt32(-1)
      .appendInt32(limits.waitMs)
      .appendInt32(1)
      .appendInt32(limits.bytesMax)
      .appendInt8(READ_COMMITTED)
      .appendInt32(plan.sessionId)
      .appendInt32(plan.epoch)
    appendByTopic(writer, plan.places, ({ partition, offset }) => {
      writer
        .appendInt32(partition)
        .appendInt32(-1)
        .appendInt64(BigInt(offset))
        .appendInt32(-1)
        .appendInt64(-1n)
        .appendInt32(limits.partitionBytesMax)
        .appendTaggedFields()
    })
    appendByTopic(writer, plan.forgotten, ({ partition }) => {
      writer.appendInt32(partition)
    })
    return writer.appendString('').appendTaggedFields()
  }
  connection.send(FETCH.key, FETCH.version, request, readFetched, true, true, answer)
}

type Writer = InstanceType<Library['Writer']>
type Reader = InstanceType<Library['Reader']>

/** Topics in the order of their first partition. */
function appendByTopic<Item extends { readonly topic: string }>(
  writer: Writer,
  items: readonly Item[],
  append: (item: Item) => void,
): void {
  const topics = Map.groupBy(items, ({ topic }) => topic)
  writer.appendUnsignedVarInt(topics.size + 1)
  for (const [topic, own] of topics) {
    writer.appendString(topic).appendUnsignedVarInt(own.length + 1)
    for (const item of own) append(item)
    writer.appendTaggedFields()
  }
}

function readProduced(_correlation: number, _key: number, _version: number, reader: Reader): ProducedPartition[] {
  const produced: ProducedPartition[] = []
  reader.readArray((answers) => {
    const topic = answers.readString()
    answers.readArray((one) => {
      const partition = one.readInt32()
      const code = one.readInt16()
      const baseOffset = Number(one.readInt64())
      one.skip(16)
      one.readArray((error) => {
        error.skip(4)
        error.readNullableString()
      })
      produced.push({ topic, partition, code, baseOffset, message: one.readNullableString() })
    })
  })
  return produced
}

function readFetched(_correlation: number, _key: number, _version: number, reader: Reader): Fetched {
  reader.skip(4)
  const code = reader.readInt16()
  const sessionId = reader.readInt32()
  // The answer may lie in many pieces of the socket; put together once, views of it cost nothing.
  const whole = reader.buffer.buffer
  const partitions: FetchedPartition[] = []
  reader.readArray((topics) => {
    const topic = topics.readString()
    topics.readArray((one) => {
      const partition = one.readInt32()
      const partitionCode = one.readInt16()
      one.skip(24)
      const aborted = one.readArray((transaction) => ({
        producerId: transaction.readInt64(),
        firstOffset: Number(transaction.readInt64()),
      }))
      one.skip(4)
      const length = Math.max(0, one.readUnsignedVarInt() - 1)
      const bytes = whole.subarray(one.position, one.position + length)
      one.skip(length)
      partitions.push({ topic, partition, code: partitionCode, aborted, bytes })
    })
  })
  return { code, sessionId, partitions }
}
