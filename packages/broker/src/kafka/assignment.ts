import type { Batch, Delivery, LogRecord } from '../broker.ts'
import { OffsetLedger } from '../offset-ledger.ts'
import type { PartitionReader } from './fetch-loop.ts'

/** Under which membership the group gave us something; a commit names it and is refused under any other. */
export interface Epoch {
  readonly memberId: string
  readonly generation: number
}

export interface Window {
  readonly records: number
  readonly bytes: number
}

export interface AssignmentEvents {
  /** There may be something to hand out. */
  filled(assignment: Assignment): void
  /** There may be room to fetch. */
  drained(assignment: Assignment): void
  settled(assignment: Assignment): void
  outOfRange(assignment: Assignment): void
}

/** Below these, more is fetched while the rest is handed out. */
const AHEAD_RECORDS = 500
const AHEAD_BYTES = 512 * 1024
const BATCH_RECORDS_MAX = 1_000

/** One partition while the group lets us have it: what was fetched, what is handed out, what is settled. */
export class Assignment implements PartitionReader {
  readonly topic: string
  readonly partition: number
  /** Renewed when the group forms anew and leaves us the partition without anybody else having had it. */
  epoch: Epoch
  offset = 0
  /** Kafka refused the done-set here; the watermark alone is enough to lose nothing. */
  withoutDoneSet = false
  readonly #window: Window
  readonly #events: AssignmentEvents
  readonly #lost = new AbortController()
  #ledger: OffsetLedger | null = null
  #fetched: LogRecord[] = []
  #handedOut = 0
  #fetchedBytes = 0
  #unsettledBytes = 0
  #blocked = false
  #version = 0
  #committedVersion = 0

  constructor(topic: string, partition: number, epoch: Epoch, window: Window, events: AssignmentEvents) {
    this.topic = topic
    this.partition = partition
    this.epoch = epoch
    this.#window = window
    this.#events = events
  }

  get lost(): AbortSignal {
    return this.#lost.signal
  }

  get started(): boolean {
    return this.#ledger !== null
  }

  get dirty(): boolean {
    return this.#version !== this.#committedVersion
  }

  get wanted(): boolean {
    if (this.#ledger === null) return false
    return this.#fetched.length - this.#handedOut < AHEAD_RECORDS && this.#fetchedBytes < AHEAD_BYTES
  }

  /** Goes on where the group's last commit left it. */
  start(offset: number, doneSet: string): void {
    this.#ledger = doneSet === '' ? OffsetLedger.start(offset) : OffsetLedger.decode(offset, doneSet)
    this.offset = this.#ledger.watermark
  }

  take(records: LogRecord[], bytes: number): void {
    if (this.lost.aborted || records.length === 0) return
    this.#fetched =
      this.#handedOut >= this.#fetched.length ? records : this.#fetched.slice(this.#handedOut).concat(records)
    this.#handedOut = 0
    this.#fetchedBytes += bytes
    this.#events.filled(this)
  }

  outOfRange(): void {
    this.#events.outOfRange(this)
  }

  /** The next deliveries as far as the window has room, or null. */
  nextBatch(): Batch | null {
    const ledger = this.#ledger
    if (ledger === null || this.lost.aborted) return null
    const deliveries: Delivery[] = []
    this.#blocked = false
    while (this.#handedOut < this.#fetched.length && deliveries.length < BATCH_RECORDS_MAX) {
      const record = this.#fetched[this.#handedOut]!
      const bytes = bytesOf(record)
      const verdict = this.#hasRoom(ledger, bytes) ? ledger.deliver(record.offset) : 'wait'
      if (verdict === 'wait') {
        this.#blocked = true
        break
      }
      this.#handedOut++
      this.#fetchedBytes -= bytes
      if (verdict === 'skip') continue
      this.#unsettledBytes += bytes
      deliveries.push(new KafkaDelivery(record, this))
    }
    this.#events.drained(this)
    return deliveries.length === 0 ? null : { topic: this.topic, partition: this.partition, deliveries }
  }

  /** Whether `nextBatch` stopped for want of nothing but being asked again. */
  get more(): boolean {
    return !this.#blocked && this.#handedOut < this.#fetched.length
  }

  settle(record: LogRecord): void {
    if (this.lost.aborted || !this.#ledger!.settle(record.offset)) return
    this.#unsettledBytes -= bytesOf(record)
    this.#version++
    this.#events.settled(this)
    if (!this.#blocked) return
    this.#blocked = false
    this.#events.filled(this)
  }

  /** From now on nothing is handed out and settling does nothing; what was settled can still be committed. */
  lose(why: string): void {
    this.#fetched = []
    this.#handedOut = 0
    this.#lost.abort(new Error(`${this.topic}/${this.partition}: ${why}`))
  }

  /** What to commit now, and what to call when it has been. */
  position(): CommitPosition {
    const version = this.#version
    return {
      assignment: this,
      offset: this.#ledger!.watermark,
      metadata: this.withoutDoneSet ? '' : this.#ledger!.encode(),
      committed: () => {
        this.#committedVersion = Math.max(this.#committedVersion, version)
      },
    }
  }

  #hasRoom(ledger: OffsetLedger, bytes: number): boolean {
    if (ledger.unsettled === 0) return true
    return ledger.unsettled < this.#window.records && this.#unsettledBytes + bytes <= this.#window.bytes
  }
}

export interface CommitPosition {
  readonly assignment: Assignment
  readonly offset: number
  readonly metadata: string
  committed(): void
}

class KafkaDelivery implements Delivery {
  readonly record: LogRecord
  readonly lost: AbortSignal
  readonly #assignment: Assignment

  constructor(record: LogRecord, assignment: Assignment) {
    this.record = record
    this.lost = assignment.lost
    this.#assignment = assignment
  }

  settle(): void {
    this.#assignment.settle(this.record)
  }
}

function bytesOf({ key, value }: LogRecord): number {
  return (key?.length ?? 0) + (value?.length ?? 0)
}
