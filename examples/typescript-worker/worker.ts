import { setTimeout as sleep } from 'node:timers/promises'
import { createWorker, FinalError } from '@forebay/sdk/worker'

const worker = createWorker({
  server: '127.0.0.1:8081',
  queues: {
    shout: (task) => task.text().toUpperCase(),
    sums: (task) => {
      const numbers = task.json()
      if (!Array.isArray(numbers)) throw new FinalError('send an array of numbers')
      return { total: numbers.reduce((total, number) => total + Number(number), 0) }
    },
    async *spell(task) {
      for (const letter of task.text()) {
        await sleep(300)
        yield letter.toUpperCase()
      }
    },
  },
})
process.once('SIGTERM', () => worker.stop())
