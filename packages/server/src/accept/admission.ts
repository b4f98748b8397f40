import { ForebayError } from '@forebay/protocol'

/**
 * Bounds the bodies that are in memory on their way into the log, over all callers. Beyond it requests are refused at
 * once, with nothing appended (P6, P9).
 */
export class Admission {
  readonly #bytesMax: number
  #bytes = 0
  #stopping = false

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  get stopping(): boolean {
    return this.#stopping
  }

  stop(): void {
    this.#stopping = true
  }

  /** Throws STOPPING or OVERLOADED, and then holds nothing; otherwise `leave` must follow with the same number. */
  enter(bytes: number): void {
    if (this.#stopping)
      throw new ForebayError('STOPPING', 'This server is stopping and takes no new tasks; ask another.')
    this.grow(bytes)
  }

  /** The same for bytes that come later in a request that is in already. */
  grow(bytes: number): void {
    if (this.#bytes + bytes > this.#bytesMax) {
      throw new ForebayError('OVERLOADED', 'Too much is on its way into the log; nothing was kept. Try again soon.', {
        members: { limit: this.#bytesMax },
        retryAfterS: 1,
      })
    }
    this.#bytes += bytes
  }

  leave(bytes: number): void {
    this.#bytes -= bytes
  }
}

/** What a task costs beside its body, so that empty ones are bounded too. bytes */
export const TASK_OVERHEAD_BYTES = 1_024
