import { createWorker, RetryError } from '@forebay/sdk/worker'

/** stuck-worker.ts SERVER QUEUE: answers with the task's own bytes, but fails every task of the key 'stuck'. */
const [server, queue] = process.argv.slice(2) as [string, string]

const worker = createWorker({
  server,
  concurrency: 1_000,
  queues: {
    [queue]: async (task) => {
      if (task.key === 'stuck') throw new RetryError('stuck')
      return { body: task.bytes(), contentType: task.contentType }
    },
  },
})
process.once('SIGTERM', () => void worker.stop({ graceMs: 2_000 }))
console.log('ready')
await worker.stopped
