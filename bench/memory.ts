import { startKafka } from '../scripts/rig/kafka.ts'
import { store } from './compare.ts'
import { runWrk } from './load/wrk.ts'
import { describeMachine } from './machine.ts'
import { residentBytes } from './process-figures.ts'
import { STATUS_OF } from './scenario.ts'
import { forebayEmbedded, forebayKafka } from './subjects/forebay.ts'

export interface MemoryOptions {
  readonly broker: 'kafka' | 'embedded'
  readonly tasks: number
}

interface Point {
  readonly tasks: number
  /** Resident, by process. */
  readonly bytes: Readonly<Record<string, number>>
}

/**
 * Drives round trips until so many are done and looks at the memory of each process meanwhile. True when all are flat:
 * over the second half, the line of least squares rises by at most `GROWTH_MAX` of the mean.
 */
export async function memory({ broker, tasks }: MemoryOptions): Promise<boolean> {
  const machine = describeMachine()
  await using kafka = broker === 'kafka' ? await startKafka() : null
  const subject = broker === 'kafka' ? forebayKafka : forebayEmbedded
  await using running = await subject.start('roundtrip', { bootstrap: kafka?.bootstrap ?? null, nodeEnv: {} })
  const points: Point[] = []
  let done = 0
  let bad = 0
  while (done < tasks) {
    const load = await runWrk({
      url: running.url,
      prefer: running.prefer,
      status: STATUS_OF.roundtrip,
      connections: CONNECTIONS,
      seconds: SLICE_SECONDS,
    })
    done += load.requests
    bad += load.wrong + load.socketErrors
    if (load.requests === 0) throw new Error('no answer within a whole slice')
    const bytes = Object.fromEntries(Object.entries(running.pids).map(([name, pid]) => [name, residentBytes(pid)]))
    points.push({ tasks: done, bytes })
    const seen = Object.entries(bytes).map(([name, resident]) => `${name} ${mib(resident)}`)
    console.log(`${String(done).padStart(9)} tasks  ${seen.join('  ')}`)
  }
  const trends = Object.keys(running.pids).map((name) => ({ process: name, ...trendOf(points, name) }))
  console.log()
  for (const { process: name, meanBytes, growthBytes, bytesPerTask, flat } of trends) {
    console.log(
      `${flat ? 'flat    ' : 'NOT FLAT'} ${name}: mean ${mib(meanBytes)}, ${mib(growthBytes)} over the second half` +
        ` (${bytesPerTask.toFixed(1)} bytes a task)`,
    )
  }
  if (bad > 0) console.log(`${bad} answers were wrong or missing`)
  await store(`memory-${broker}`, { machine, tasks: done, bad, trends, points })
  return bad === 0 && trends.every(({ flat }) => flat)
}

const CONNECTIONS = 64
const SLICE_SECONDS = 5
const GROWTH_MAX = 0.1
const WARM_UP_SHARE = 1 / 2

function trendOf(points: readonly Point[], name: string) {
  const rest = points.slice(Math.ceil(points.length * WARM_UP_SHARE))
  const mean = (figure: (point: Point) => number) => rest.reduce((sum, point) => sum + figure(point), 0) / rest.length
  const meanTasks = mean(({ tasks }) => tasks)
  const meanBytes = mean(({ bytes }) => bytes[name]!)
  const covariance = mean(({ tasks, bytes }) => (tasks - meanTasks) * (bytes[name]! - meanBytes))
  const variance = mean(({ tasks }) => (tasks - meanTasks) ** 2)
  const bytesPerTask = variance === 0 ? Number.NaN : covariance / variance
  const growthBytes = bytesPerTask * (rest.at(-1)!.tasks - rest[0]!.tasks)
  return { meanBytes, growthBytes, bytesPerTask, flat: growthBytes <= meanBytes * GROWTH_MAX }
}

const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`
