import type { FailedRecord, RecordToPublish } from '../broker.ts'
import type { PublishCall } from '../publish-call.ts'
import { HEAD_BYTES, RecordBatch } from './record-batch.ts'

/** Below a broker's default message.max.bytes; a record that is larger goes alone. */
const BATCH_BYTES_MAX = 900_000
/** Records of one batch fail together: none is given up much sooner than its own time. */
const BATCH_AGE_SPAN = 0.03
/** Framing of a record: lengths and deltas. */
const RECORD_FRAME_BYTES = 24

/** Records on their way to one partition, in one piece. */
export interface PendingBatch {
  readonly content: RecordBatch
  readonly calls: PublishCall[]
  readonly indexes: number[]
  readonly bornMs: number
  payloadBytes: number
  /** -1 until it is first sent. */
  sequence: number
  epoch: number
  /** An attempt may have been appended, or may still be. */
  perhapsAppended: boolean
  /** Its time ran out while under way: nobody waits for the answer any more. */
  abandoned: boolean
  cause: unknown
}

/**
 * Everything that waits for one partition. Only one batch is under way at a time, so retries cannot change the order;
 * meanwhile the next ones fill up, which is all the batching there is.
 */
export class PublishQueue {
  readonly topic: string
  readonly partition: number
  readonly #waiting: PendingBatch[] = []
  readonly #ageMaxMs: number
  underWay: PendingBatch | null = null
  /** Identity of the idempotent producer, for this partition alone; -1 before the first batch. */
  producerId = -1n
  epoch = 0
  sequence = 0
  /** Not before this moment, after something went wrong. */
  retryAtMs = 0

  constructor(topic: string, partition: number, publishTimeoutMs: number) {
    this.topic = topic
    this.partition = partition
    this.#ageMaxMs = publishTimeoutMs * BATCH_AGE_SPAN
  }

  get empty(): boolean {
    return this.#waiting.length === 0 && this.underWay === null
  }

  get ready(): boolean {
    return this.underWay === null && this.#waiting.length > 0
  }

  append(
    record: RecordToPublish,
    bytes: number,
    call: PublishCall,
    index: number,
    nowMs: number,
    wallMs: number,
  ): void {
    let batch = this.#waiting.at(-1)
    if (batch === undefined || !this.#hasRoom(batch, bytes + RECORD_FRAME_BYTES + 12 * record.headers.length, nowMs)) {
      const content =
        bytes > BATCH_BYTES_MAX ? new RecordBatch(wallMs, bytes + HEAD_BYTES + 1024) : new RecordBatch(wallMs)
      batch = pendingBatch(content, nowMs)
      this.#waiting.push(batch)
    }
    batch.content.append(record.key, record.value, record.headers, wallMs)
    batch.payloadBytes += bytes
    batch.calls.push(call)
    batch.indexes.push(index)
  }

  /** The next batch, now under way. */
  take(): PendingBatch {
    const batch = this.#waiting.shift()!
    this.underWay = batch
    return batch
  }

  /** The batch under way goes first again. */
  putBack(...batches: PendingBatch[]): void {
    this.underWay = null
    this.#waiting.unshift(...batches)
  }

  /** Waiting batches that were born before `bornMs`, removed. */
  expired(bornMs: number): PendingBatch[] {
    let count = 0
    while (count < this.#waiting.length && this.#waiting[count]!.bornMs < bornMs) count++
    return this.#waiting.splice(0, count)
  }

  begin(producerId: bigint): void {
    this.producerId = producerId
    this.epoch = 0
    this.sequence = 0
  }

  /**
   * Starts the sequence anew under the next epoch. What was sent under an older one and is still on its way will be
   * refused by the broker: a batch that was given up can't appear behind later ones.
   */
  renewEpoch(): void {
    this.epoch++
    this.sequence = 0
  }

  #hasRoom(batch: PendingBatch, bytes: number, nowMs: number): boolean {
    if (batch.sequence >= 0) return false
    if (batch.content.bytes + bytes > BATCH_BYTES_MAX) return false
    return nowMs - batch.bornMs <= this.#ageMaxMs
  }
}

export function pendingBatch(content: RecordBatch, bornMs: number): PendingBatch {
  return {
    content,
    calls: [],
    indexes: [],
    bornMs,
    payloadBytes: 0,
    sequence: -1,
    epoch: -1,
    perhapsAppended: false,
    abandoned: false,
    cause: null,
  }
}

export function settleDurable(batch: PendingBatch, topic: string, partition: number, baseOffset: number): void {
  for (let at = 0; at < batch.calls.length; at++) {
    batch.calls[at]!.durable(batch.indexes[at]!, { topic, partition, offset: baseOffset + at })
  }
}

export function settleFailed(batch: PendingBatch, outcome: FailedRecord['outcome'], cause: unknown): void {
  for (let at = 0; at < batch.calls.length; at++) batch.calls[at]!.fail(batch.indexes[at]!, outcome, cause)
}
