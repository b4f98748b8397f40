import { ForebayError } from '@forebay/protocol/errors'
import type { FailedRecord, LogRecord, Position, RecordToPublish } from '../broker.ts'
import type { Timer } from '../clock.ts'
import { partitionOf } from '../partition-of.ts'
import type { Append, Appended, LogCalls } from './log-calls.ts'
import { MEBIBYTE, type ResolvedEmbedded } from './options.ts'
import { memoryOf, type PartitionLog } from './partition-log.ts'
import { PublishCall } from './publish-call.ts'
import { packedBytesMax, packRecord } from './record-codec.ts'
import type { ThreadCaller } from './thread-call.ts'

/** Most bytes of one transaction, unless a single record is larger. */
export const APPEND_BYTES_MAX = 8 * MEBIBYTE
/** Most memory of records that wait for the disk; `publish` refuses beyond. */
export const WAITING_BYTES_MAX = 256 * MEBIBYTE

/**
 * Group commit: while one transaction is on its way to the disk, everything that is published gathers for the next,
 * so each flush is shared by all who wait for it.
 */
export class Appender {
  readonly #topics: ReadonlyMap<string, readonly PartitionLog[]>
  readonly #thread: ThreadCaller<LogCalls>
  readonly #options: ResolvedEmbedded
  readonly #onFull: () => void
  /** Calls that are neither resolved nor rejected, oldest first. */
  readonly #calls = new Set<PublishCall>()
  readonly #waiting = new Map<PartitionLog, WaitingRecord[]>()
  readonly #spread = new Map<string, number>()
  #waitingBytes = 0
  #busy = false
  #scheduled = false
  #closed = false
  /** Why the log takes nothing more. */
  #stopped: ForebayError | null = null
  #timer: Timer | null = null
  #idle: (() => void) | null = null

  constructor(
    topics: ReadonlyMap<string, readonly PartitionLog[]>,
    thread: ThreadCaller<LogCalls>,
    options: ResolvedEmbedded,
    onFull: () => void,
  ) {
    this.#topics = topics
    this.#thread = thread
    this.#options = options
    this.#onFull = onFull
  }

  publish(records: readonly RecordToPublish[]): Promise<readonly Position[]> {
    if (records.length === 0) return Promise.resolve([])
    const { clock } = this.#options
    const call = new PublishCall(records.length, clock.monotonicMs() + this.#options.publishTimeoutMs)
    const timestampMs = clock.wallMs()
    for (let index = 0; index < records.length; index++) this.#accept(call, records[index]!, index, timestampMs)
    if (call.left > 0) {
      this.#calls.add(call)
      this.#timer ??= clock.timer(this.#options.publishTimeoutMs, () => this.#expire())
      this.#schedule()
    }
    return call.promise
  }

  /** Takes nothing more; resolves when every call has its answer. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#calls.size > 0) await new Promise<void>((resolve) => (this.#idle = resolve))
    this.#timer?.cancel()
  }

  #accept(call: PublishCall, record: RecordToPublish, index: number, timestampMs: number): void {
    const log = this.#place(record)
    if (log instanceof ForebayError) {
      call.fail(index, 'refused', log)
      return
    }
    const bytes = packedBytesMax(record)
    const refusal = this.#refusal(record, bytes)
    if (refusal !== null) {
      call.fail(index, 'refused', refusal)
      return
    }
    const { topic, partition } = log
    const { key, value, headers } = record
    const pending = { topic, partition, offset: -1, timestampMs, key, value: ownMemory(value), headers }
    const list = this.#waiting.get(log)
    if (list === undefined) this.#waiting.set(log, [{ record: pending, call, index, bytes }])
    else list.push({ record: pending, call, index, bytes })
    this.#waitingBytes += memoryOf(1, bytes)
  }

  #place(record: RecordToPublish): PartitionLog | ForebayError {
    const logs = this.#topics.get(record.topic)
    if (logs === undefined) {
      return new ForebayError('BAD_REQUEST', `topic: ${record.topic} does not exist; name it when opening the broker.`)
    }
    const partition =
      record.partition ?? (record.key === null ? this.#nextOf(logs) : partitionOf(record.key, logs.length))
    return (
      logs[partition] ??
      new ForebayError(
        'BAD_REQUEST',
        `partition: ${record.topic} has ${logs.length}, numbered from 0, and no ${partition}.`,
      )
    )
  }

  #nextOf(logs: readonly PartitionLog[]): number {
    const { topic } = logs[0]!
    const next = this.#spread.get(topic) ?? Math.floor(this.#options.random.unit() * logs.length)
    this.#spread.set(topic, (next + 1) % logs.length)
    return next
  }

  #refusal(record: RecordToPublish, bytes: number): ForebayError | null {
    if (this.#closed) return new ForebayError('CLOSED', 'The broker is closed.')
    if (this.#stopped !== null) return this.#stopped
    if (this.#waitingBytes + bytes > WAITING_BYTES_MAX) {
      return new ForebayError('OVERLOADED', `${WAITING_BYTES_MAX} bytes wait for the disk; publish more slowly.`)
    }
    // `bytes` is an upper bound, so the exact size is only looked at near the limit.
    if (bytes <= this.#options.recordBytesMax) return null
    const exact = sizeOf(record)
    if (exact <= this.#options.recordBytesMax) return null
    return new ForebayError(
      'TASK_TOO_LARGE',
      `The record has ${exact} bytes of key, value and headers; at most ${this.#options.recordBytesMax} are taken (recordBytesMax).`,
    )
  }

  /** A microtask later, so that calls made together travel together. */
  #schedule(): void {
    if (this.#busy || this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      void this.#drain()
    })
  }

  async #drain(): Promise<void> {
    if (this.#busy) return
    this.#busy = true
    while (this.#waiting.size > 0) {
      const batch = this.#nextBatch()
      if (batch.length === 0) continue
      if (this.#stopped !== null) {
        failAll(batch, 'refused', this.#stopped)
      } else {
        await this.#append(batch)
      }
      for (const part of batch) for (const one of part.records) if (one.call.left === 0) this.#calls.delete(one.call)
      this.#afterAnswers()
    }
    this.#busy = false
  }

  async #append(batch: readonly BatchPart[]): Promise<void> {
    let packed: Append
    try {
      packed = pack(batch)
    } catch (error) {
      // Somebody changed a record after handing it over; it must not stop all others for ever.
      failAll(batch, 'refused', new ForebayError('INTERNAL', 'A record changed while it waited.', { cause: error }))
      return
    }
    this.#answer(batch, await this.#thread.call('append', packed, [packed.buffer]).catch(toStopped))
  }

  #answer(batch: readonly BatchPart[], appended: Appended): void {
    if (appended.kind === 'appended') {
      for (const [index, part] of batch.entries()) this.#finish(part, appended.bases[index]!)
    } else if (appended.kind === 'full') {
      const message = `There is no room for it (${appended.reason}): free disk space or raise bytesMax.`
      failAll(batch, 'refused', new ForebayError('NOT_ACCEPTED', message))
      this.#onFull()
    } else {
      this.#stopped = new ForebayError('NOT_ACCEPTED', `The log takes nothing more: ${appended.reason}.`)
      failAll(batch, appended.outcome, this.#stopped)
    }
  }

  /** Whole lists while they fit; of one that does not, what fits. */
  #nextBatch(): BatchPart[] {
    const batch: BatchPart[] = []
    let bytes = 0
    let count = 0
    for (const [log, list] of this.#waiting) {
      let taken = 0
      let partBytes = 0
      while (
        taken < list.length &&
        (bytes + partBytes === 0 || bytes + partBytes + list[taken]!.bytes <= APPEND_BYTES_MAX)
      ) {
        partBytes += list[taken]!.bytes
        taken++
      }
      if (taken === 0) break
      if (taken === list.length) this.#waiting.delete(log)
      else this.#waiting.set(log, list.slice(taken))
      const records = (taken === list.length ? list : list.slice(0, taken)).filter((one) => !one.call.expired)
      for (const one of records) one.call.sent = true
      if (records.length > 0) batch.push({ log, records, bytes: partBytes })
      bytes += partBytes
      count += taken
    }
    this.#waitingBytes -= memoryOf(count, bytes)
    return batch
  }

  #finish({ log, records, bytes }: BatchPart, base: number): void {
    const appended: LogRecord[] = new Array(records.length)
    for (let index = 0; index < records.length; index++) {
      const one = records[index]!
      one.record.offset = base + index
      appended[index] = one.record
      one.call.succeed(one.index, { topic: log.topic, partition: log.partition, offset: base + index })
    }
    log.appended(appended, bytes)
  }

  #expire(): void {
    this.#timer = null
    const { clock, publishTimeoutMs } = this.#options
    const now = clock.monotonicMs()
    for (const call of this.#calls) {
      if (call.deadlineMs > now) {
        this.#timer = clock.timer(call.deadlineMs - now, () => this.#expire())
        break
      }
      call.expire(publishTimeoutMs)
      this.#calls.delete(call)
    }
    this.#afterAnswers()
  }

  #afterAnswers(): void {
    if (this.#calls.size > 0) return
    this.#idle?.()
    this.#idle = null
  }
}

type AppendedRecord = { -readonly [K in keyof LogRecord]: LogRecord[K] }

interface WaitingRecord {
  readonly record: AppendedRecord
  readonly call: PublishCall
  readonly index: number
  readonly bytes: number
}

interface BatchPart {
  readonly log: PartitionLog
  readonly records: readonly WaitingRecord[]
  readonly bytes: number
}

function pack(batch: readonly BatchPart[]): Append {
  const buffer = new ArrayBuffer(batch.reduce((sum, part) => sum + part.bytes, 0))
  const into = Buffer.from(buffer)
  let at = 0
  const chunks = batch.map(({ log, records }) => {
    const start = at
    let timestampMs = 0
    for (const { record } of records) {
      at = packRecord(into, at, record)
      timestampMs = Math.max(timestampMs, record.timestampMs)
    }
    return { partitionId: log.id, records: records.length, timestampMs, start, end: at }
  })
  return { buffer, chunks }
}

function failAll(batch: readonly BatchPart[], outcome: FailedRecord['outcome'], cause: ForebayError): void {
  for (const part of batch) {
    for (const one of part.records) one.call.fail(one.index, outcome, cause)
  }
}

function toStopped(error: unknown): Appended {
  return { kind: 'stopped', outcome: 'unknown', reason: error instanceof Error ? error.message : String(error) }
}

function sizeOf(record: RecordToPublish): number {
  let bytes = (record.key?.length ?? 0) + record.value.length
  for (const [name, value] of record.headers) bytes += Buffer.byteLength(name) + value.length
  return bytes
}

/** The tail keeps values for a while; a small one must not keep the large buffer alive that it was cut from. */
function ownMemory(value: Uint8Array): Uint8Array {
  return value.buffer.byteLength > value.length * 2 + SHARED_MEMORY_MAX ? Uint8Array.prototype.slice.call(value) : value
}

/** Node cuts small buffers from pools of this size. */
const SHARED_MEMORY_MAX = 64 * 1024
