import { create } from '@bufbuild/protobuf'
import { ForebayError, isErrorCode } from '@forebay/protocol'
import { PublishRequestSchema, type PublishResponse } from '@forebay/protocol/log'
import { backoffMs } from '../backoff.ts'
import type { FailedRecord, Position, RecordToPublish } from '../broker.ts'
import type { Timer } from '../clock.ts'
import { PublishCall } from '../publish-call.ts'
import { CallFailed, closed, type Link } from './link.ts'
import type { ResolvedRemote } from './options.ts'
import { bytesOf, newRecordOf, payloadBytesOf } from './record-messages.ts'

/** Most records of one call to the server. */
const CALL_RECORDS_MAX = 10_000
/** Most bytes of one call to the server, unless a single record is larger. */
const CALL_BYTES_MAX = 4 * 1024 * 1024
/** Most bytes that wait; `publish` refuses beyond. */
export const WAITING_BYTES_MAX = 64 * 1024 * 1024

/**
 * One call to the server at a time, so that records of a partition keep the order in which they were given; whatever is
 * published meanwhile shares the next one. What was never sent when its time is up was refused; of what was sent and not
 * answered nobody knows.
 */
export class Publisher {
  readonly #link: Link
  readonly #options: ResolvedRemote
  readonly #recordBytesMax: () => number
  /** Oldest first, and so the first to be late. */
  #waiting: Waiting[] = []
  #waitingBytes = 0
  #running: Promise<void> | null = null
  #timer: Timer | null = null
  #closed = false

  constructor(link: Link, options: ResolvedRemote, recordBytesMax: () => number) {
    this.#link = link
    this.#options = options
    this.#recordBytesMax = recordBytesMax
  }

  publish(records: readonly RecordToPublish[]): Promise<readonly Position[]> {
    const call = new PublishCall(records.length)
    const deadlineMs = this.#options.clock.monotonicMs() + this.#options.publishTimeoutMs
    for (let index = 0; index < records.length; index++) this.#accept(call, records[index]!, index, deadlineMs)
    this.#expireLater()
    // A microtask later, so that calls made together travel together.
    if (this.#waiting.length > 0) this.#running ??= Promise.resolve().then(() => this.#run())
    return call.promise
  }

  /** Takes nothing more; resolves when every record has its answer. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#running
    this.#timer?.cancel()
  }

  #accept(call: PublishCall, record: RecordToPublish, index: number, deadlineMs: number): void {
    const bytes = bytesOf(record)
    const refusal = this.#refusal(record, bytes)
    if (refusal !== null) {
      call.fail(index, 'refused', refusal)
      return
    }
    this.#waiting.push({ call, record, index, bytes, deadlineMs })
    this.#waitingBytes += bytes
  }

  #refusal(record: RecordToPublish, bytes: number): ForebayError | null {
    if (this.#closed) return closed()
    const recordBytesMax = this.#recordBytesMax()
    // `bytes` is an upper bound, so the exact size is only looked at near the limit.
    const exact = bytes <= recordBytesMax ? bytes : payloadBytesOf(record)
    if (exact > recordBytesMax) {
      return new ForebayError(
        'TASK_TOO_LARGE',
        `The record has ${exact} bytes of key, value and headers; this server takes at most ${recordBytesMax}.`,
      )
    }
    if (this.#waitingBytes + bytes > WAITING_BYTES_MAX) {
      return new ForebayError('OVERLOADED', `${this.#waitingBytes} bytes wait for the server; publish more slowly.`)
    }
    return null
  }

  async #run(): Promise<void> {
    let failures = 0
    while (this.#waiting.length > 0) {
      // Only what can be sent at once is taken: as long as it waits it can be refused.
      const first = this.#waiting[0]!
      const connected = await this.#untilReady(first.deadlineMs)
      this.#expire()
      const batch = this.#nextBatch()
      if (batch.length === 0) continue
      if (!connected) {
        this.#putBack(batch)
        continue
      }
      const again = await this.#send(batch)
      failures = again ? failures + 1 : 0
      if (!again) continue
      this.#putBack(batch)
      await this.#options.clock.sleep(backoffMs(BUSY_BACKOFF, failures, this.#options.random))
    }
    this.#running = null
  }

  async #untilReady(deadlineMs: number): Promise<boolean> {
    const { clock } = this.#options
    const late = new AbortController()
    const timer = clock.timer(Math.max(0, deadlineMs - clock.monotonicMs()), () => late.abort())
    try {
      await this.#link.ready(late.signal)
      return true
    } catch {
      return false
    } finally {
      timer.cancel()
    }
  }

  /** Resolves true when the server took none of it and asks for another try. */
  async #send(batch: readonly Waiting[]): Promise<boolean> {
    const { clock } = this.#options
    const deadlineMs = clock.wallMs() + Math.max(1, batch[0]!.deadlineMs - clock.monotonicMs())
    const records = batch.map(({ record }) => newRecordOf(record))
    const request = create(PublishRequestSchema, { records, groups: groupsOf(batch) })
    try {
      answer(batch, await this.#link.call<PublishResponse>('Publish', request, deadlineMs))
      return false
    } catch (thrown) {
      return this.#failed(batch, thrown)
    }
  }

  #failed(batch: readonly Waiting[], thrown: unknown): boolean {
    const refusal = thrown instanceof CallFailed ? thrown.refusal : null
    if (refusal !== null && WORTH_ANOTHER_TRY.has(refusal.code)) return true
    if (refusal !== null) {
      failAll(batch, 'refused', refusal)
      return false
    }
    const { server } = this.#options
    const why = thrown instanceof Error ? thrown.message : String(thrown)
    // A server that does not answer in time may be at the other end of a dead connection.
    this.#link.renew()
    const cause = new ForebayError('BROKER_UNAVAILABLE', `The server at ${server} did not answer: ${why}`)
    failAll(batch, 'unknown', cause)
    return false
  }

  #nextBatch(): Waiting[] {
    let bytes = 0
    let count = 0
    for (const one of this.#waiting) {
      if (count === CALL_RECORDS_MAX || (count > 0 && bytes + one.bytes > CALL_BYTES_MAX)) break
      bytes += one.bytes
      count++
    }
    this.#waitingBytes -= bytes
    return this.#waiting.splice(0, count)
  }

  #putBack(batch: readonly Waiting[]): void {
    this.#waiting = [...batch, ...this.#waiting]
    for (const { bytes } of batch) this.#waitingBytes += bytes
    this.#expire()
    this.#expireLater()
  }

  #expireLater(): void {
    if (this.#timer !== null || this.#waiting.length === 0) return
    const { clock } = this.#options
    this.#timer = clock.timer(Math.max(0, this.#waiting[0]!.deadlineMs - clock.monotonicMs()), () => {
      this.#timer = null
      this.#expire()
      this.#expireLater()
    })
  }

  #expire(): void {
    const { clock, publishTimeoutMs, server } = this.#options
    const nowMs = clock.monotonicMs()
    const late = this.#waiting.findIndex((one) => one.deadlineMs > nowMs)
    const expired = this.#waiting.splice(0, late === -1 ? this.#waiting.length : late)
    if (expired.length === 0) return
    for (const { bytes } of expired) this.#waitingBytes -= bytes
    const message = `The server at ${server} could not be reached within ${publishTimeoutMs} ms (publishTimeoutMs).`
    failAll(expired, 'refused', new ForebayError('BROKER_UNAVAILABLE', message))
  }
}

interface Waiting {
  readonly call: PublishCall
  readonly record: RecordToPublish
  readonly index: number
  readonly bytes: number
  /** Monotonic. */
  readonly deadlineMs: number
}

/** Of a whole call: nothing was appended, and soon it may be. */
const WORTH_ANOTHER_TRY = new Set(['OVERLOADED', 'STOPPING'])
const BUSY_BACKOFF = { firstMs: 20, maxMs: 1_000 }

/** How many records of each call stand together. */
function groupsOf(batch: readonly Waiting[]): number[] {
  const groups: number[] = []
  let last: PublishCall | null = null
  for (const { call } of batch) {
    if (call === last) groups[groups.length - 1]! += 1
    else groups.push(1)
    last = call
  }
  return groups
}

function answer(batch: readonly Waiting[], { partitions, offsets, failed }: PublishResponse): void {
  const named = new Map(failed.map((one) => [one.index, one]))
  for (let at = 0; at < batch.length; at++) {
    const { call, index, record } = batch[at]!
    const failure = named.get(at)
    const partition = partitions[at]
    const offset = offsets[at]
    if (failure !== undefined) {
      const code = isErrorCode(failure.code) ? failure.code : 'INTERNAL'
      call.fail(index, failure.maybeAppended ? 'unknown' : 'refused', new ForebayError(code, failure.message))
    } else if (partition === undefined || offset === undefined) {
      call.fail(index, 'unknown', new ForebayError('INTERNAL', 'The server said nothing of this record.'))
    } else {
      call.durable(index, { topic: record.topic, partition, offset: Number(offset) })
    }
  }
}

function failAll(batch: readonly Waiting[], outcome: FailedRecord['outcome'], cause: ForebayError): void {
  for (const { call, index } of batch) call.fail(index, outcome, cause)
}
