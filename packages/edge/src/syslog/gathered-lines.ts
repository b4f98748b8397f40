import type { Clock, Timer } from '@forebay/broker'

/** Messages that come one by one, kept for a moment so that many share a write. */
export class GatheredLines {
  readonly #clock: Clock
  readonly #flush: (lines: Buffer, count: number) => void
  #messages: Buffer[] = []
  #bytes = 0
  #timer: Timer | null = null

  constructor(clock: Clock, flush: (lines: Buffer, count: number) => void) {
    this.#clock = clock
    this.#flush = flush
  }

  push(message: Buffer): void {
    this.#messages.push(message, NEWLINE)
    this.#bytes += message.length + 1
    if (this.#bytes >= GATHER_BYTES) this.flush()
    else this.#timer ??= this.#clock.timer(GATHER_MS, () => this.flush())
  }

  flush(): void {
    this.#timer?.cancel()
    this.#timer = null
    if (this.#messages.length === 0) return
    const [lines, count] = [Buffer.concat(this.#messages, this.#bytes), this.#messages.length / 2]
    this.#messages = []
    this.#bytes = 0
    this.#flush(lines, count)
  }
}

const NEWLINE = Buffer.from('\n')
const GATHER_BYTES = 256 * 1024
/** Also what is lost at most when the process dies, beside what the kernel holds. */
const GATHER_MS = 20
