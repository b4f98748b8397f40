import type { LogRecord } from '../broker.ts'
import { Fifo } from './fifo.ts'
import type { StoredPartition } from './log-calls.ts'
import { MEBIBYTE } from './options.ts'

/** Newest records that are kept in memory, over all partitions, for those who read along. Counts `memoryOf`. */
export const TAIL_BYTES_MAX = 64 * MEBIBYTE

/** One partition as this thread knows it: how far it reaches, its newest records, and who waits for more. */
export class PartitionLog {
  readonly id: number
  readonly topic: string
  readonly partition: number
  /** First offset that is kept. */
  start: number
  /** One past the last offset that is durable. */
  end: number
  /** Called after the end has moved. */
  readonly readers = new Set<() => void>()
  readonly #tails: Tails
  readonly #tail = new Fifo<TailChunk>()

  constructor(stored: StoredPartition, tails: Tails) {
    this.id = stored.id
    this.topic = stored.topic
    this.partition = stored.partition
    this.start = stored.start
    this.end = stored.end
    this.#tails = tails
  }

  /** These have become durable; their offsets follow the end. */
  appended(records: readonly LogRecord[], packedBytes: number): void {
    const bytes = memoryOf(records.length, packedBytes)
    this.#tail.push({ base: this.end, records, bytes })
    this.end += records.length
    this.#tails.added(this, bytes)
    for (const wake of this.readers) wake()
  }

  /** Records from `from` on, as many as lie together; null when memory does not hold that one any more. */
  tailFrom(from: number): readonly LogRecord[] | null {
    const first = this.#tail.at(0)
    if (first === undefined || from < first.base || from >= this.end) return null
    let low = 0
    let high = this.#tail.length - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (this.#tail.at(middle)!.base <= from) low = middle
      else high = middle - 1
    }
    const { base, records } = this.#tail.at(low)!
    return from === base ? records : records.slice(from - base)
  }

  dropOldest(): number {
    return this.#tail.shift()?.bytes ?? 0
  }
}

/** Keeps the tails of all partitions within one limit, by dropping what was appended first. */
export class Tails {
  readonly #order = new Fifo<PartitionLog>()
  #bytes = 0

  added(log: PartitionLog, bytes: number): void {
    this.#order.push(log)
    this.#bytes += bytes
    while (this.#bytes > TAIL_BYTES_MAX) this.#bytes -= this.#order.shift()!.dropOldest()
  }
}

/** What records take in memory, about: their objects outweigh small payloads. */
export function memoryOf(records: number, packedBytes: number): number {
  return records * RECORD_OBJECT_BYTES + packedBytes
}

const RECORD_OBJECT_BYTES = 512

interface TailChunk {
  readonly base: number
  readonly records: readonly LogRecord[]
  readonly bytes: number
}
