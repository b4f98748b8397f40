import type { WebSocket } from 'ws'

/** Bytes that wait for a peer to take them; beyond it nothing more is fetched for it and nothing more read from it. */
export const OUTBOX_BYTES_MAX = 256 * 1024

/**
 * What goes out over one connection. Many take turns at it: each waits for room before it fetches what it has to say and
 * again before it says it, first come first served, so a slow peer costs what is in its outbox and one batch of each.
 */
export class WebSocketOutbox {
  readonly #socket: WebSocket
  /** Called when something was taken. */
  readonly #onFlushed: () => void
  readonly #waiting: (() => void)[] = []
  #closed = false

  constructor(socket: WebSocket, onFlushed: () => void) {
    this.#socket = socket
    this.#onFlushed = onFlushed
  }

  get hasRoom(): boolean {
    return this.#socket.bufferedAmount < OUTBOX_BYTES_MAX
  }

  send(text: string): void {
    if (!this.#closed && this.#socket.readyState === this.#socket.OPEN) this.#socket.send(text, this.#flushed)
  }

  /** Null when it is the caller's turn already; `close` lets everybody go. */
  turn(): Promise<void> | null {
    if (this.#closed || (this.hasRoom && this.#waiting.length === 0)) return null
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      if (this.#waiting.length === 1) queueMicrotask(this.#admit)
    })
  }

  close(): void {
    this.#closed = true
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  readonly #flushed = (): void => {
    this.#onFlushed()
    this.#admit()
  }

  /** One at a time: what one says counts before the next one's turn. */
  readonly #admit = (): void => {
    if (this.#closed || !this.hasRoom) return
    const resolve = this.#waiting.shift()
    if (resolve === undefined) return
    resolve()
    if (this.#waiting.length > 0) queueMicrotask(this.#admit)
  }
}
