import { createWorker } from '@forebay/sdk/worker'
import { percentilesOf } from '../percentiles.ts'

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
  const late = [...lateMs.values()]
  const seconds = (nowMs - firstMs) / 1000
  const figures = { early: late.filter((each) => each < 0).length, ...percentilesOf(late) }
  console.log(`FIGURES ${JSON.stringify({ ...figures, seconds, perSecond: late.length / seconds, twice })}`)
}
