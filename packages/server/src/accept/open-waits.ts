/** A caller who may go away while waiting. */
export interface Caller {
  readonly gone: boolean
  onGone(leave: () => void): void
  offGone(leave: () => void): void
}

/** A wait that somebody else can end; `cancel` makes `result` resolve soon, or reject where that was said. */
export interface Pending<T> {
  /** To be called once. */
  result(): Promise<T>
  cancel(): void
}

/** For what takes a signal. Costs more than a cancel of its own: not for the hot path. */
export function bySignal<T>(run: (signal: AbortSignal) => Promise<T>): Pending<T> {
  const controller = new AbortController()
  return { result: () => run(controller.signal), cancel: () => controller.abort() }
}

/** The callers that wait for an end right now; a stop lets all of them go at once. */
export class OpenWaits {
  readonly #open = new Set<() => void>()
  #ended = false

  /** Runs a wait that is cancelled when the caller goes away or the server stops. */
  async during<T>(caller: Caller, pending: Pending<T>): Promise<T> {
    const leave = () => pending.cancel()
    if (this.#ended || caller.gone) leave()
    this.#open.add(leave)
    caller.onGone(leave)
    try {
      return await pending.result()
    } finally {
      caller.offGone(leave)
      this.#open.delete(leave)
    }
  }

  end(): void {
    this.#ended = true
    for (const leave of this.#open) leave()
  }
}
