import type { ServerResponse } from 'node:http'

/** The callers that wait for an end right now; a stop lets all of them go at once. */
export class OpenWaits {
  readonly #open = new Set<AbortController>()
  #ended = false

  /** Runs a wait that its signal ends when the caller goes away or the server stops. */
  async during<T>(response: ServerResponse, wait: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController()
    const leave = () => controller.abort()
    if (this.#ended || response.destroyed) controller.abort()
    this.#open.add(controller)
    response.on('close', leave)
    try {
      return await wait(controller.signal)
    } finally {
      response.off('close', leave)
      this.#open.delete(controller)
    }
  }

  end(): void {
    this.#ended = true
    for (const controller of this.#open) controller.abort()
  }
}
