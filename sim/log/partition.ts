import type { LogRecord, RecordToPublish } from '@forebay/broker'

/** One partition of the simulated log. Outlives every process. */
export class SimPartition {
  readonly topic: string
  readonly partition: number
  readonly #records: LogRecord[] = []
  #end = 0
  /** Readers that have read to the end and are told of more. */
  readonly #hearers = new Set<() => void>()

  constructor(topic: string, partition: number) {
    this.topic = topic
    this.partition = partition
  }

  get end(): number {
    return this.#end
  }

  /** An offset that no record has, as markers of transactions and compaction leave them. */
  skip(): void {
    this.#end++
  }

  append({ key, value, headers }: RecordToPublish, timestampMs: number): LogRecord {
    const { topic, partition } = this
    const record: LogRecord = { topic, partition, offset: this.#end++, timestampMs, key, value, headers }
    this.#records.push(record)
    return record
  }

  tellHearers(): void {
    const hearers = [...this.#hearers]
    this.#hearers.clear()
    for (const hear of hearers) hear()
  }

  /** Calls back once, when there is more than now. */
  onMore(hear: () => void): void {
    this.#hearers.add(hear)
  }

  /** Offset of the first record at or after the time; -1 where there is none. */
  firstAt(timeMs: number): number {
    return this.#records.find((one) => one.timestampMs >= timeMs)?.offset ?? -1
  }

  /** At most `count` records from `offset` on. */
  read(offset: number, count: number): LogRecord[] {
    let low = 0
    let high = this.#records.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#records[middle]!.offset < offset) low = middle + 1
      else high = middle
    }
    return this.#records.slice(low, low + count)
  }
}
