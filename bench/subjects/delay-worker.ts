import { createWorker } from '@forebay/sdk/worker'

/**
 * delay-worker.ts SERVER QUEUE COUNT: each body is the wall time before which its task must not begin. Prints how late
 * they began once COUNT different ones have.
 */
const [server, queue, count] = process.argv.slice(2) as [string, string, string]
const lateMs = new Map<string, number>()
let twice = 0
let firstMs = 0

const worker = createWorker({
  server,
  concurrency: 1_000,
  queues: {
    [queue]: async (task) => {
      const nowMs = Date.now()
      if (lateMs.has(task.id)) twice++
      else lateMs.set(task.id, nowMs - Number(task.text()))
      firstMs ||= nowMs
      if (lateMs.size === Number(count)) tell(nowMs)
      return { body: task.bytes(), contentType: task.contentType }
    },
  },
})
process.once('SIGTERM', () => void worker.stop({ graceMs: 2_000 }))
console.log('ready')
await worker.stopped

function tell(nowMs: number): void {
  const sorted = Float64Array.from(lateMs.values()).sort()
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]
  const seconds = (nowMs - firstMs) / 1000
  const figures = { early: sorted.filter((late) => late < 0).length, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) }
  console.log(`FIGURES ${JSON.stringify({ ...figures, seconds, perSecond: sorted.length / seconds, twice })}`)
}
