import type { Batch, Delivery, LogRecord } from '../broker.ts'

/** One partition while the server lets us have it. */
export class Assignment {
  /** As the server calls it, within one stream. */
  readonly number: number
  readonly topic: string
  readonly partition: number
  readonly #lost = new AbortController()
  readonly #onSettled: (assignment: Assignment) => void
  /** Settled and not yet told. */
  #settled: number[] = []

  constructor(
    place: { readonly number: number; readonly topic: string; readonly partition: number },
    onSettled: (assignment: Assignment) => void,
  ) {
    this.number = place.number
    this.topic = place.topic
    this.partition = place.partition
    this.#onSettled = onSettled
  }

  get lost(): AbortSignal {
    return this.#lost.signal
  }

  batchOf(records: readonly LogRecord[]): Batch {
    const { topic, partition } = this
    return { topic, partition, deliveries: records.map((record) => new RemoteDelivery(record, this)) }
  }

  settle(offset: number): void {
    if (this.lost.aborted) return
    this.#settled.push(offset)
    this.#onSettled(this)
  }

  /** What has been settled since the last time, as ranges of offsets. */
  takeSettled(): { first: number; count: number }[] {
    const offsets = this.#settled.sort((one, other) => one - other)
    this.#settled = []
    const ranges: { first: number; count: number }[] = []
    for (const offset of offsets) {
      const last = ranges.at(-1)
      if (last !== undefined && offset === last.first + last.count) last.count++
      else ranges.push({ first: offset, count: 1 })
    }
    return ranges
  }

  lose(why: string): void {
    this.#settled = []
    this.#lost.abort(new Error(`${this.topic}/${this.partition}: ${why}`))
  }
}

class RemoteDelivery implements Delivery {
  readonly record: LogRecord
  readonly #assignment: Assignment
  #settled = false

  constructor(record: LogRecord, assignment: Assignment) {
    this.record = record
    this.#assignment = assignment
  }

  get lost(): AbortSignal {
    return this.#assignment.lost
  }

  settle(): void {
    if (this.#settled) return
    this.#settled = true
    this.#assignment.settle(this.record.offset)
  }
}
