import type { Listener, LogRecord } from '../broker.ts'
import { Cursor } from './cursor.ts'
import type { LogCalls } from './log-calls.ts'
import type { PartitionLog } from './partition-log.ts'
import type { ThreadCaller } from './thread-call.ts'
import { Wakeup } from './wakeup.ts'

export class EmbeddedListener implements Listener {
  readonly from: number
  readonly #cursor: Cursor
  readonly #wakeup = new Wakeup()
  readonly #onClose: (listener: EmbeddedListener) => void
  #closed = false
  #failure: Error | null = null

  constructor(
    log: PartitionLog,
    from: number,
    thread: ThreadCaller<LogCalls>,
    onClose: (listener: EmbeddedListener) => void,
  ) {
    this.from = from
    this.#cursor = new Cursor(log, this.from, thread, this.#wakeup.wake)
    this.#onClose = onClose
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly LogRecord[], undefined> {
    while (!this.#closed) {
      if (this.#failure !== null) throw this.#failure
      const records = this.#cursor.takeAll()
      if (records.length > 0) yield records
      else await this.#wakeup.sleep()
    }
    return undefined
  }

  /** The log is gone: the iteration throws. */
  fail(error: Error): void {
    this.#failure = error
    this.#wakeup.wake()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#cursor.close()
    this.#wakeup.wake()
    this.#onClose(this)
  }
}
