import { appendFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { createWorker } from '@forebay/sdk/worker'

/** worker.ts SERVER[,SERVER] QUEUE LEDGER DELAY_MS: notes each begun attempt in the ledger, answers with the task's own bytes. */
const [servers, queue, ledger, delayMs] = process.argv.slice(2) as [string, string, string, string]

const worker = createWorker({
  server: servers.split(','),
  concurrency: 64,
  queues: {
    [queue]: async (task) => {
      appendFileSync(ledger, `${task.id} ${task.attempt} ${task.key ?? ''} ${task.text()}\n`)
      if (delayMs !== '0') await sleep(Number(delayMs))
      return { body: task.bytes(), contentType: task.contentType }
    },
  },
})
process.once('SIGTERM', () => void worker.stop({ graceMs: 5_000 }))
console.log('worker started')
await worker.stopped
