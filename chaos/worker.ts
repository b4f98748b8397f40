import { randomUUID } from 'node:crypto'
import { appendFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { createWorker, RetryError } from '@forebay/sdk/worker'
import type { EventBody } from '../history/history.ts'
import { digest, nowMs } from './journal.ts'
import { readScript } from './script.ts'

/**
 * worker.ts SERVER,SERVER QUEUE,QUEUE LEDGER: does what the body of each task says, and notes when it began and ended,
 * one JSON line each, appended around the effect: the ledger survives a kill. It has a session with each server, since
 * each has partitions of its own.
 */
const [servers, queues, ledger] = process.argv.slice(2) as [string, string, string]

function note(event: EventBody): void {
  appendFileSync(ledger, `${JSON.stringify({ t: nowMs(), by: `worker ${process.pid}`, ...event })}\n`)
}

const addresses = servers.split(',')
const worker = createWorker({
  server: addresses,
  concurrency: 32 * addresses.length,
  queues: Object.fromEntries(
    queues.split(',').map((queue) => [
      queue,
      async (task) => {
        const script = readScript(task.text())
        const run = { execution: randomUUID(), taskId: task.id }
        const body = digest(task.text())
        const about = { generation: 0, attempt: task.attempt, queue, key: task.key ?? null, body, wallMs: Date.now() }
        note({ type: 'exec.start', ...run, ...about })
        if (script.workMs > 0) await sleep(script.workMs)
        if (task.attempt <= script.failures) {
          note({ type: 'exec.end', ...run, outcome: 'retry', answer: null, retryAfterMs: null })
          throw new RetryError(`attempt ${task.attempt} was to fail`)
        }
        note({ type: 'exec.end', ...run, outcome: 'succeeded', answer: body, retryAfterMs: null })
        return { body: task.bytes(), contentType: task.contentType }
      },
    ]),
  ),
})
process.once('SIGTERM', () => worker.stop({ graceMs: 5_000 }))
console.log('worker started')
await worker.stopped
