/** What happens to a worker, for logs and metrics. */
export type WorkerEvent =
  | { readonly type: 'connected'; readonly address: string }
  /** The server is about to stop; the worker finishes what it has from it and dials the next address. */
  | { readonly type: 'drained'; readonly address: string }
  | {
      readonly type: 'disconnected'
      readonly address: string
      readonly reason: string
      /** Attempts whose outcomes are dropped: the server gives them to somebody else. */
      readonly attemptsLost: number
    }
  | {
      readonly type: 'attempt-failed'
      readonly task: string
      readonly queue: string
      readonly attempt: number
      readonly error: unknown
    }
  /** The server no longer wanted these outcomes: they came too late, or twice. */
  | { readonly type: 'outcomes-refused'; readonly address: string; readonly count: number }

/** Said on the console when the worker has no `onEvent`: only what would else look like a worker that does nothing. */
export function warnOfDisconnects(): (event: WorkerEvent) => void {
  const lastReasons = new Map<string, string>()
  return (event) => {
    if (event.type === 'connected') lastReasons.delete(event.address)
    if (event.type !== 'disconnected') return
    const { address, reason } = event
    if (lastReasons.get(address) !== reason) {
      console.warn(`forebay worker: ${address}: ${reason}; dialing again for as long as it takes`)
    }
    lastReasons.set(address, reason)
  }
}
