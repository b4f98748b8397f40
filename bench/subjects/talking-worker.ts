import { setTimeout as sleep } from 'node:timers/promises'
import { createWorker } from '@forebay/sdk/worker'

/**
 * talking-worker.ts SERVER QUEUE: a body says 'DELAY_MS CHUNKS'. Waits, says so many chunks, and answers with the moment at
 * which it did, on the machine's monotonic clock in ns, as each chunk holds its own.
 */
const [server, queue] = process.argv.slice(2) as [string, string]

const worker = createWorker({
  server,
  concurrency: 10_000,
  queues: {
    [queue]: async (task, { chunk }) => {
      const [delayMs, chunks] = task.text().split(' ').map(Number) as [number, number]
      if (delayMs > 0) await sleep(delayMs)
      for (let number = 0; number < chunks; number++) {
        await chunk(String(process.hrtime.bigint()))
        await sleep(CHUNK_PAUSE_MS)
      }
      return String(process.hrtime.bigint())
    },
  },
})
const CHUNK_PAUSE_MS = 50
process.once('SIGTERM', () => void worker.stop({ graceMs: 2_000 }))
console.log('ready')
await worker.stopped
