import { ForebayError } from '@forebay/protocol'
import type { Logger } from 'pino'
import type { BlobStore } from './blob-store.ts'

/**
 * Says in the log when the place of the blobs cannot be reached, and when it can again: once each, however many calls
 * meet it. A place that is out of reach at the start is such a trouble too, and no reason not to start.
 */
export function watchedBlobs(blobs: BlobStore, log: Logger): BlobStore {
  let inTrouble = false

  return {
    capabilities: blobs.capabilities,
    async open() {
      try {
        await blobs.open()
      } catch (thrown) {
        if (!noticed(thrown)) throw thrown
      }
    },
    put: (bytes, atLeastMs) => watch(blobs.put(bytes, atLeastMs)),
    get: (ref) => watch(blobs.get(ref)),
    pin: (ref, name) => watch(blobs.pin(ref, name)),
    unpin: (ref, name) => watch(blobs.unpin(ref, name)),
    sweep: () => watch(blobs.sweep()),
    close: () => blobs.close(),
  }

  async function watch<Value>(call: Promise<Value>): Promise<Value> {
    try {
      const value = await call
      if (inTrouble) log.info('blobs can be reached again')
      inTrouble = false
      return value
    } catch (thrown) {
      noticed(thrown)
      throw thrown
    }
  }

  function noticed(thrown: unknown): boolean {
    if (!(thrown instanceof ForebayError) || thrown.code !== 'BLOB_UNAVAILABLE') return false
    if (!inTrouble) log.warn({ err: thrown.cause }, 'blobs cannot be reached; what needs them waits or is refused')
    inTrouble = true
    return true
  }
}
