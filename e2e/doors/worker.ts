import { randomUUID } from 'node:crypto'
import { appendFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { createWorker } from '@forebay/sdk/worker'
import { digest, nowMs } from '../../chaos/journal.ts'
import type { EventBody } from '../../history/history.ts'
import { answerTo, chunksOf, readErrand } from './errand.ts'

/** worker.ts SERVER,SERVER QUEUE,QUEUE LEDGER: runs errands, and notes when each began and ended, one JSON line each. */
const [servers, queues, ledger] = process.argv.slice(2) as [string, string, string]

function note(event: EventBody): void {
  appendFileSync(ledger, `${JSON.stringify({ t: nowMs(), by: `worker ${process.pid}`, ...event })}\n`)
}

const worker = createWorker({
  server: servers.split(','),
  concurrency: 64,
  queues: Object.fromEntries(
    queues.split(',').map((queue) => [
      queue,
      async (task, { chunk }) => {
        const errand = readErrand(task.text())
        const run = { execution: randomUUID(), taskId: task.id }
        const body = digest(task.text())
        const about = { generation: 0, attempt: task.attempt, queue, key: task.key, body, wallMs: Date.now() }
        note({ type: 'exec.start', ...run, ...about })
        if (errand.workMs > 0) await sleep(errand.workMs)
        for (const text of chunksOf(errand)) {
          await chunk(text)
          await sleep(CHUNK_PAUSE_MS)
        }
        const answer = answerTo(task.text())
        note({ type: 'exec.end', ...run, outcome: 'succeeded', answer: digest(answer), retryAfterMs: null })
        return answer
      },
    ]),
  ),
})
const CHUNK_PAUSE_MS = 5
process.once('SIGTERM', () => void worker.stop({ graceMs: 5_000 }))
console.log('worker started')
await worker.stopped
