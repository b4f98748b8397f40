import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startKafka } from '../scripts/rig/kafka.ts'
import { describeMachine } from './machine.ts'
import { measure } from './measure.ts'
import { printGoals, printRows } from './report.ts'
import type { Connections, Scenario } from './scenario.ts'
import { diy } from './subjects/diy.ts'
import { echo } from './subjects/echo.ts'
import { forebayEmbedded, forebayKafka, forebayKafkaOne } from './subjects/forebay.ts'
import type { Subject } from './subjects/subject.ts'
import { judge, summarize } from './summary.ts'

export interface CompareOptions {
  readonly broker: 'embedded' | 'kafka' | 'both'
  readonly rounds: number
  readonly seconds: number
  readonly connections: readonly Connections[]
  /** Where Forebay's Node processes write CPU profiles; null writes none. */
  readonly profileDir: string | null
  /** Only subjects whose names have this in them; null takes all. */
  readonly only: string | null
}

/** Measures Forebay beside the bare limit and the do-it-yourself gateway, in one run; true when all goals hold. */
export async function compare(scenario: Scenario, options: CompareOptions): Promise<boolean> {
  const subjects = SUBJECTS[options.broker].filter(({ name }) => options.only === null || name.includes(options.only))
  const machine = describeMachine()
  const { versions } = machine
  console.log(`${scenario}, ${options.rounds} rounds of ${options.seconds} s, 512-byte JSON, wrk with one thread`)
  console.log(`${machine.cores} × ${machine.cpu}, ${machine.memoryGb} GB, Linux ${machine.kernel}, ${machine.commit}`)
  console.log(
    `${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', ')}\n`,
  )

  const needsKafka = subjects.some((subject) => subject.needsKafka)
  await using kafka = needsKafka ? await startKafka() : null
  const nodeEnv = options.profileDir === null ? {} : profiling(options.profileDir)
  const context = { bootstrap: kafka?.bootstrap ?? null, nodeEnv }
  if (needsKafka) await warmUpKafka(context)

  const samples = await measure({
    scenario,
    subjects,
    rounds: options.rounds,
    seconds: options.seconds,
    connections: options.connections,
    context,
    onSample({ round, subject, connections, load, loadAverage }) {
      const bad = load.wrong + load.socketErrors
      console.log(
        `round ${round}  ${subject.padEnd(26)} ${String(connections).padStart(3)} conn. ` +
          `${String(Math.round(load.requests / load.seconds)).padStart(6)}/s  p50 ${load.p50Ms} ms  p99 ${load.p99Ms} ms` +
          `  load ${loadAverage.toFixed(1)}${bad > 0 ? `  BAD ${bad} (status ${load.wrongStatus})` : ''}`,
      )
    },
  })
  const rows = summarize(samples, [echo.name, diy.name])
  const goals = judge(scenario, rows, forebayKafka.name, diy.name)
  console.log()
  printRows(rows, new Map(subjects.map(({ name, shape }) => [name, shape])))
  console.log()
  printGoals(goals)
  const bad = rows.reduce((sum, row) => sum + row.bad, 0)
  if (bad > 0) console.log(`${bad} answers were wrong or missing: these figures prove nothing`)
  // A part of the whole, or one slowed down by profiling, is for whoever asked and not for comparison.
  if (options.only === null && options.profileDir === null) {
    await store(scenario, { machine, options: { ...options }, goals, rows, samples })
  }
  return bad === 0 && goals.every(({ holds }) => holds)
}

const SUBJECTS: Readonly<Record<CompareOptions['broker'], readonly Subject[]>> = {
  embedded: [echo, forebayEmbedded],
  kafka: [echo, diy, forebayKafka, forebayKafkaOne],
  both: [echo, diy, forebayKafka, forebayKafkaOne, forebayEmbedded],
}

/** One stored file a run: bench/results/accept-2026-01-31T12-00-00.json. */
export async function store(name: string, content: object): Promise<void> {
  const date = new Date().toISOString()
  const dir = join(import.meta.dirname, 'results')
  await mkdir(dir, { recursive: true })
  const file = join(dir, `${name}-${date.slice(0, 19).replaceAll(':', '-')}.json`)
  await writeFile(file, `${linesOf({ name, date, ...content })}\n`)
  console.log(`stored as ${file}`)
}

/** JSON with each member, and each entry of a list, on a line of its own. */
function linesOf(content: object): string {
  const members = Object.entries(content).map(([name, value]) => {
    const text = Array.isArray(value)
      ? `[\n${value.map((entry) => `    ${JSON.stringify(entry)}`).join(',\n')}\n  ]`
      : JSON.stringify(value)
    return `  ${JSON.stringify(name)}: ${text}`
  })
  return `{\n${members.join(',\n')}\n}`
}

/** The first subject to meet a Kafka just started would pay for its Java machine getting warm. */
async function warmUpKafka(context: Parameters<Subject['start']>[1]): Promise<void> {
  for (const scenario of ['accept', 'roundtrip'] as const) {
    await measure({ scenario, subjects: [diy], rounds: 1, seconds: 2, connections: [64], context, onSample() {} })
  }
}

function profiling(dir: string): Record<string, string> {
  return { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${dir}` }
}
