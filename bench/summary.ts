import type { Sample } from './measure.ts'
import { median } from './percentiles.ts'
import { CONNECTIONS, type Connections, type Scenario } from './scenario.ts'

/** What a run says: medians over its rounds, and ratios of what was measured within the same round. */
export interface Row {
  readonly subject: string
  readonly connections: Connections
  readonly perSecond: Spread
  readonly p50Ms: Spread
  readonly p99Ms: Spread
  /** By process: CPU time a request took. µs */
  readonly cpuMicros: Readonly<Record<string, number>>
  /** Answers that were not what they had to be, and errors of sockets. */
  readonly bad: number
  /** By the name of the other: our requests/s over its. */
  readonly perSecondRatio: Readonly<Record<string, number>>
  /** By the name of the other: our p50 over its. */
  readonly p50Ratio: Readonly<Record<string, number>>
}

export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

export interface Goal {
  readonly text: string
  readonly measured: number
  readonly holds: boolean
}

export function summarize(samples: readonly Sample[], references: readonly string[]): Row[] {
  const subjects = [...new Set(samples.map(({ subject }) => subject))]
  const measured = CONNECTIONS.filter((each) => samples.some(({ connections }) => connections === each))
  return subjects.flatMap((subject) =>
    measured.map((connections) => {
      const of = (name: string) =>
        samples.filter((sample) => sample.subject === name && sample.connections === connections)
      const own = of(subject)
      const ratios = (figure: (sample: Sample) => number) =>
        Object.fromEntries(
          references.flatMap((reference) => {
            const pairs = own.flatMap((sample) => {
              const other = of(reference).find(({ round }) => round === sample.round)
              return other ? [figure(sample) / figure(other)] : []
            })
            return pairs.length === 0 ? [] : [[reference, median(pairs)]]
          }),
        )
      return {
        subject,
        connections,
        perSecond: spread(own.map(perSecond)),
        p50Ms: spread(own.map(({ load }) => load.p50Ms)),
        p99Ms: spread(own.map(({ load }) => load.p99Ms)),
        cpuMicros: Object.fromEntries(
          Object.keys(own[0]?.cpuMicros ?? {}).map((name) => [name, median(own.map((one) => one.cpuMicros[name]!))]),
        ),
        bad: own.reduce((sum, { load }) => sum + load.wrong + load.socketErrors, 0),
        perSecondRatio: ratios(perSecond),
        p50Ratio: ratios(({ load }) => load.p50Ms),
      }
    }),
  )
}

/** What Forebay on Kafka has to reach beside the do-it-yourself gateway, process for process. */
export function judge(scenario: Scenario, rows: readonly Row[], subject: string, reference: string): Goal[] {
  const find = (connections: Connections) =>
    rows.find((row) => row.subject === subject && row.connections === connections)
  const throughput = (connections: Connections, atLeast: number): Goal[] => {
    const row = find(connections)
    const measured = row?.perSecondRatio[reference]
    if (row === undefined || measured === undefined) return []
    const text = `${scenario}s/s at ${connections} connections ≥ ${atLeast} × ${reference}`
    return [{ text, measured, holds: measured >= atLeast && row.bad === 0 }]
  }
  if (scenario === 'accept') return [...throughput(64, ACCEPT_GOAL), ...throughput(256, ACCEPT_GOAL)]
  const one = find(1)
  const p50 = one?.p50Ratio[reference]
  const text = `round trip p50 at 1 connection ≤ ${LATENCY_GOAL} × ${reference}`
  return [
    ...(one === undefined || p50 === undefined
      ? []
      : [{ text, measured: p50, holds: p50 <= LATENCY_GOAL && one.bad === 0 }]),
    ...throughput(64, ROUND_TRIP_GOAL),
    ...throughput(256, ROUND_TRIP_GOAL),
  ]
}

const ACCEPT_GOAL = 0.8
const ROUND_TRIP_GOAL = 0.7
const LATENCY_GOAL = 1.3

const perSecond = ({ load }: Sample) => load.requests / load.seconds

function spread(figures: readonly number[]): Spread {
  return { median: median(figures), min: Math.min(...figures), max: Math.max(...figures) }
}
