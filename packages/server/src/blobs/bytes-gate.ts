import { ForebayError } from '@forebay/protocol'

/**
 * Bounds bytes that are in memory at once: who would make it too many waits in line. What alone is more than the bound
 * enters when nobody else is in.
 */
export class BytesGate {
  readonly #bytesMax: number
  readonly #waitingMax: number
  #bytes = 0
  readonly #line: Waiting[] = []

  constructor(bytesMax: number, waitingMax: number) {
    this.#bytesMax = bytesMax
    this.#waitingMax = waitingMax
  }

  get bytes(): number {
    return this.#bytes
  }

  get waiting(): number {
    return this.#line.length
  }

  /**
   * Resolves with what to call (once or more) when the bytes are gone. Throws OVERLOADED when too many wait already,
   * the signal's reason when it aborts first.
   */
  async enter(bytes: number, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted()
    if (this.#line.length > 0 || !this.#fits(bytes)) await this.#wait(bytes, signal)
    else this.#bytes += bytes
    let inside = true
    return () => {
      if (!inside) return
      inside = false
      this.#bytes -= bytes
      this.#admit()
    }
  }

  #wait(bytes: number, signal: AbortSignal): Promise<void> {
    if (this.#line.length >= this.#waitingMax) {
      throw new ForebayError('OVERLOADED', 'Too many large bodies are being read at once; try again soon.', {
        members: { limit: this.#waitingMax },
        retryAfterS: 1,
      })
    }
    return new Promise((resolve, reject) => {
      const waiting = {
        bytes,
        enter: () => {
          signal.removeEventListener('abort', quit)
          resolve()
        },
      }
      const quit = () => {
        this.#line.splice(this.#line.indexOf(waiting), 1)
        reject(signal.reason)
        this.#admit()
      }
      signal.addEventListener('abort', quit, { once: true })
      this.#line.push(waiting)
    })
  }

  #admit(): void {
    while (this.#line.length > 0 && this.#fits(this.#line[0]!.bytes)) {
      const { bytes, enter } = this.#line.shift()!
      this.#bytes += bytes
      enter()
    }
  }

  #fits(bytes: number): boolean {
    return this.#bytes === 0 || this.#bytes + bytes <= this.#bytesMax
  }
}

interface Waiting {
  readonly bytes: number
  readonly enter: () => void
}
