import { once } from 'node:events'
import { createWorker, FinalError } from '@forebay/sdk/worker'

/** worker.ts SERVER: what the tasks of clients in other languages want. */
const [server] = process.argv.slice(2) as [string]

const worker = createWorker({
  server: [server],
  concurrency: 16,
  queues: {
    shout: (task) => {
      const { say } = task.json() as { say: string }
      if (say === '') throw new FinalError('There is nothing to shout.')
      return { body: say.toUpperCase(), contentType: 'text/plain; charset=utf-8' }
    },
    async *story(_task, context) {
      yield 'Once '
      context.progress(0.5, 'half of it')
      yield 'upon '
      yield 'a '
      yield 'time.'
    },
    slow: async (_task, { signal }) => {
      await once(signal, 'abort')
    },
    flaky: () => {
      throw new Error('Not today.')
    },
  },
})
process.once('SIGTERM', () => void worker.stop({ graceMs: 1_000 }))
console.log('worker started')
await worker.stopped
