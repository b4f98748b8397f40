import type { LogRecord } from '../broker.ts'
import type { LogCalls } from './log-calls.ts'
import { MEBIBYTE } from './options.ts'
import type { PartitionLog } from './partition-log.ts'
import { unpackChunk } from './record-codec.ts'
import type { ThreadCaller } from './thread-call.ts'

/** Bytes that one reader who is behind fetches from the file at a time. */
export const READ_BYTES_MAX = 1 * MEBIBYTE

/** Reads one partition forward: from memory at its end, else from the file, a stretch ahead of its reader. */
export class Cursor {
  readonly log: PartitionLog
  readonly #thread: ThreadCaller<LogCalls>
  readonly #wake: () => void
  #next: number
  #ready: readonly LogRecord[] = []
  #at = 0
  #fetching = false
  #failure: unknown = null
  #closed = false

  /** `wake` is called when `peek` may have more to give. */
  constructor(log: PartitionLog, from: number, thread: ThreadCaller<LogCalls>, wake: () => void) {
    this.log = log
    this.#next = from
    this.#thread = thread
    this.#wake = wake
    log.readers.add(wake)
  }

  /** The next record, or undefined when there is none at hand. Throws what reading the file threw. */
  peek(): LogRecord | undefined {
    if (this.#at === this.#ready.length && !this.#load()) return undefined
    return this.#ready[this.#at]
  }

  /** Passes the record that `peek` gave. */
  advance(): void {
    this.#next = this.#ready[this.#at++]!.offset + 1
  }

  /** Everything at hand, passed; empty when there is nothing. */
  takeAll(): readonly LogRecord[] {
    if (this.peek() === undefined) return []
    const taken = this.#at === 0 ? this.#ready : this.#ready.slice(this.#at)
    this.#at = this.#ready.length
    this.#next = taken.at(-1)!.offset + 1
    return taken
  }

  close(): void {
    this.#closed = true
    this.log.readers.delete(this.#wake)
  }

  #load(): boolean {
    if (this.#failure !== null) throw this.#failure
    if (this.#fetching || this.#next >= this.log.end) return false
    const tail = this.log.tailFrom(this.#next)
    if (tail === null) {
      void this.#fetch()
      return false
    }
    this.#ready = tail
    this.#at = 0
    return true
  }

  async #fetch(): Promise<void> {
    this.#fetching = true
    const { id, topic, partition } = this.log
    try {
      const read = await this.#thread.call('read', { partitionId: id, from: this.#next, bytesMax: READ_BYTES_MAX })
      if (this.#closed) return
      const bytes = Buffer.from(read.buffer)
      const records: LogRecord[] = []
      for (const { base, start, end } of read.chunks) {
        unpackChunk(bytes.subarray(start, end), { topic, partition, base }, this.#next, records)
      }
      // Retention may have overtaken a reader without a group.
      if (records.length === 0) this.#next = Math.max(this.#next, this.log.start)
      this.#ready = records
      this.#at = 0
    } catch (error) {
      this.#failure = error
    } finally {
      this.#fetching = false
    }
    this.#wake()
  }
}
