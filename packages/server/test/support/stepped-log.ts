import type { Batch, Broker, ConsumeRequest, Delivery, LogRecord, Position, RecordToPublish } from '@forebay/broker'

/**
 * One partition of one topic, delivered when a test says so, so that a test can choose the order of everything. What
 * goes to other topics is kept as it came.
 */
export class SteppedLog {
  readonly records: LogRecord[] = []
  readonly elsewhere: RecordToPublish[] = []
  readonly broker: Broker
  readonly #topic: string
  readonly #publishing: () => Promise<void>
  #assignment: Assignment | null = null
  #request: ConsumeRequest | null = null
  #committed: ReadonlySet<number> = new Set()
  #settled = new Set<number>()
  #batches: Batch[] = []
  #wake = () => {}
  #closed = false

  constructor(topic: string, publishing: () => Promise<void>) {
    this.#topic = topic
    this.#publishing = publishing
    this.broker = this.#asBroker()
  }

  append(record: RecordToPublish): Position {
    const { key, value, headers } = record
    const position = { topic: this.#topic, partition: 0, offset: this.records.length }
    this.records.push({ ...position, timestampMs: 0, key, value, headers })
    return position
  }

  /** Delivers what is next and not finished. */
  deliver(count: number): void {
    const assignment = this.#assignment
    if (assignment === null) return
    const deliveries: Delivery[] = []
    while (assignment.next < this.records.length && deliveries.length < count) {
      const record = this.records[assignment.next++]!
      if (this.#committed.has(record.offset)) continue
      const { lost } = assignment
      deliveries.push({ record, lost: lost.signal, settle: () => this.#settle(record.offset, lost.signal) })
    }
    if (deliveries.length > 0) this.#batches.push({ topic: this.#topic, partition: 0, deliveries })
    this.#wake()
  }

  /** The position is stored as it is now. */
  commit(): void {
    this.#committed = new Set(this.#settled)
  }

  /** The partition is lost and given back, from the position that was stored. */
  reassign(): void {
    this.#assignment?.lost.abort()
    this.#batches = []
    this.#settled = new Set(this.#committed)
    const lost = new AbortController()
    this.#assignment = { lost, next: 0 }
    this.#request?.onAssigned?.({ topic: this.#topic, partition: 0, lost: lost.signal })
  }

  #settle(offset: number, lost: AbortSignal): void {
    if (!lost.aborted) this.#settled.add(offset)
  }

  #asBroker(): Broker {
    const log = this
    return {
      capabilities: {
        name: 'embedded',
        durability: 'embedded',
        shared: false,
        doneSetSurvivesRestart: true,
        recordBytesMax: 1_000_000,
      },
      async open() {},
      async publish(records) {
        await log.#publishing()
        return records.map((record) => {
          if (record.topic === log.#topic) return log.append(record)
          log.elsewhere.push(record)
          return { topic: record.topic, partition: 0, offset: log.elsewhere.length }
        })
      },
      async consume(request) {
        log.#request = request
        log.reassign()
        return { close: async () => log.#close(), [Symbol.asyncIterator]: () => log.#iterate() }
      },
      listen: () => Promise.reject(new Error('nothing is listened to here')),
      async inspect() {
        const end = log.records.length
        const first = log.records.find(({ offset }) => !log.#committed.has(offset))
        return [{ topic: log.#topic, partition: 0, start: 0, end, committed: first?.offset ?? end }]
      },
      async close() {},
    }
  }

  #close(): void {
    this.#closed = true
    this.#assignment?.lost.abort()
    this.#wake()
  }

  async *#iterate(): AsyncGenerator<Batch, undefined> {
    while (!this.#closed) {
      const batch = this.#batches.shift()
      if (batch !== undefined) yield batch
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
    }
    return undefined
  }
}

interface Assignment {
  readonly lost: AbortController
  next: number
}
