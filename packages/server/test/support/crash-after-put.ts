import type { TestContext } from 'node:test'
import { MIB, startBlobServer } from './blob-server.ts'

/** A server that is killed when a body has been put and its record has not been published. */
const [dir] = process.argv.slice(2) as [string]
const t = { after: () => {} } as unknown as TestContext
const { url } = await startBlobServer(t, {
  dir,
  given: { queues: { echo: {} } },
  wrap: (blobs) => ({
    capabilities: blobs.capabilities,
    open: () => blobs.open(),
    get: (ref) => blobs.get(ref),
    pin: (ref, name) => blobs.pin(ref, name),
    unpin: (ref, name) => blobs.unpin(ref, name),
    sweep: () => blobs.sweep(),
    close: () => blobs.close(),
    async put(bytes, atLeastMs) {
      const ref = await blobs.put(bytes, atLeastMs)
      process.kill(process.pid, 'SIGKILL')
      return ref
    },
  }),
})
await fetch(`${url}/v1/queues/echo/tasks`, { method: 'POST', body: Buffer.alloc(2 * MIB, 'b') })
