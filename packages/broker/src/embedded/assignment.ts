import type { Delivery, LogRecord } from '../broker.ts'
import type { OffsetLedger } from '../offset-ledger.ts'
import type { Cursor } from './cursor.ts'

export interface Window {
  readonly windowRecords: number
  readonly windowBytes: number
}

/** One partition in the hands of one member, from being given to it to being taken away. */
export class Assignment {
  readonly ledger: OffsetLedger
  readonly cursor: Cursor
  readonly #window: Window
  readonly #onSettled: (roomMade: boolean) => void
  readonly #lost = new AbortController()
  #unsettledBytes = 0
  /** The window was full when last looked at. */
  #paused = false

  /** `onSettled` hears of every record settled, and whether the partition may go on because of it. */
  constructor(ledger: OffsetLedger, cursor: Cursor, window: Window, onSettled: (roomMade: boolean) => void) {
    this.ledger = ledger
    this.cursor = cursor
    this.#window = window
    this.#onSettled = onSettled
  }

  get lost(): AbortSignal {
    return this.#lost.signal
  }

  /** Takes what is at hand and fits the window, `recordsMax` at most. */
  collect(recordsMax: number): Delivery[] {
    const deliveries: Delivery[] = []
    this.#paused = false
    while (deliveries.length < recordsMax) {
      const record = this.cursor.peek()
      if (record === undefined) break
      if (this.ledger.isDone(record.offset)) {
        this.cursor.advance()
        continue
      }
      if (!this.#fits(record) || this.ledger.deliver(record.offset) === 'wait') {
        this.#paused = true
        break
      }
      this.#unsettledBytes += bytesOf(record)
      this.cursor.advance()
      deliveries.push(new EmbeddedDelivery(record, this))
    }
    return deliveries
  }

  settle(record: LogRecord): void {
    if (this.#lost.signal.aborted || !this.ledger.settle(record.offset)) return
    this.#unsettledBytes -= bytesOf(record)
    const roomMade = this.#paused
    this.#paused = false
    this.#onSettled(roomMade)
  }

  end(): void {
    this.cursor.close()
    this.#lost.abort()
  }

  #fits(record: LogRecord): boolean {
    if (this.ledger.unsettled === 0) return true
    if (this.ledger.unsettled >= this.#window.windowRecords) return false
    return this.#unsettledBytes + bytesOf(record) <= this.#window.windowBytes
  }
}

class EmbeddedDelivery implements Delivery {
  readonly record: LogRecord
  readonly #assignment: Assignment

  constructor(record: LogRecord, assignment: Assignment) {
    this.record = record
    this.#assignment = assignment
  }

  get lost(): AbortSignal {
    return this.#assignment.lost
  }

  settle(): void {
    this.#assignment.settle(this.record)
  }
}

function bytesOf(record: LogRecord): number {
  return (record.key?.length ?? 0) + (record.value?.length ?? 0)
}
