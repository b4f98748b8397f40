/** A caller who may go away while waiting. */
export interface Caller {
  readonly gone: boolean
  onGone(leave: () => void): void
  offGone(leave: () => void): void
}

/** The callers that wait for an end right now; a stop lets all of them go at once. */
export class OpenWaits {
  readonly #open = new Set<AbortController>()
  #ended = false

  /** Runs a wait that its signal ends when the caller goes away or the server stops. */
  async during<T>(caller: Caller, wait: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController()
    const leave = () => controller.abort()
    if (this.#ended || caller.gone) controller.abort()
    this.#open.add(controller)
    caller.onGone(leave)
    try {
      return await wait(controller.signal)
    } finally {
      caller.offGone(leave)
      this.#open.delete(controller)
    }
  }

  end(): void {
    this.#ended = true
    for (const controller of this.#open) controller.abort()
  }
}
