/** The promise's outcome, or the signal's reason where that comes first; for what cannot be called off itself. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    const done = () => signal.removeEventListener('abort', abort)
    promise.then(resolve, reject).finally(done)
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
  })
}
