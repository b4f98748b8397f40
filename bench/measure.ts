import { loadavg } from 'node:os'
import { type Load, runWrk } from './load/wrk.ts'
import { cpuMs } from './process-figures.ts'
import { type Connections, type Scenario, STATUS_OF } from './scenario.ts'
import type { Subject, SubjectContext } from './subjects/subject.ts'

export interface Sample {
  readonly round: number
  readonly subject: string
  readonly connections: Connections
  readonly load: Load
  /** CPU time a request took in each process of the subject; unlike throughput it hardly feels what else runs. µs */
  readonly cpuMicros: Readonly<Record<string, number>>
  /** Of the last minute: tells whether somebody else was at work on this machine. */
  readonly loadAverage: number
}

export interface MeasureOptions {
  readonly scenario: Scenario
  readonly subjects: readonly Subject[]
  readonly rounds: number
  readonly seconds: number
  readonly connections: readonly Connections[]
  readonly context: SubjectContext
  readonly onSample: (sample: Sample) => void
}

/**
 * Rounds in which each subject is started, warmed up, measured and stopped, one after the other, each round beginning
 * with the next one: what drifts on the machine meets all of them alike.
 */
export async function measure(options: MeasureOptions): Promise<Sample[]> {
  const { subjects, rounds } = options
  const samples: Sample[] = []
  for (let round = 0; round < rounds; round++) {
    const first = round % subjects.length
    for (const subject of [...subjects.slice(first), ...subjects.slice(0, first)]) {
      for (const sample of await measureOnce(subject, round + 1, options)) samples.push(sample)
    }
  }
  return samples
}

async function measureOnce(subject: Subject, round: number, options: MeasureOptions): Promise<Sample[]> {
  const { scenario, seconds } = options
  await using running = await subject.start(scenario, options.context)
  const wrk = (connections: number, forSeconds: number) =>
    runWrk({
      url: running.url,
      prefer: running.prefer,
      status: STATUS_OF[scenario],
      connections,
      seconds: forSeconds,
    })
  await wrk(WARM_UP_CONNECTIONS, WARM_UP_SECONDS)
  const samples: Sample[] = []
  for (const connections of options.connections) {
    const before = cpuOf(running.pids)
    const load = await wrk(connections, seconds)
    const after = cpuOf(running.pids)
    const cpuMicros = Object.fromEntries(
      Object.keys(running.pids).map((name) => [name, ((after[name]! - before[name]!) * 1000) / load.requests]),
    )
    const sample = { round, subject: subject.name, connections, load, cpuMicros, loadAverage: loadavg()[0]! }
    samples.push(sample)
    options.onSample(sample)
  }
  return samples
}

function cpuOf(pids: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(pids).map(([name, pid]) => [name, cpuMs(pid)]))
}

const WARM_UP_CONNECTIONS = 64
const WARM_UP_SECONDS = 4
