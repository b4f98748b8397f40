import { runWrk } from './load/wrk.ts'

/** What one of the two looks like to wrk. */
export interface Side {
  readonly name: string
  readonly url: string
}

export interface PairOptions {
  readonly rounds: number
  readonly seconds: number
  readonly connections: number
  readonly keys: number
}

export interface Pair {
  /** Median of the rounds' ratios, of the second side's throughput to the first one's. */
  readonly ratio: number
  readonly samples: readonly object[]
}

/** Round trips on two servers in turn, the first of a round changing: what disturbs this machine meets both. */
export async function comparePair(base: Side, other: Side, options: PairOptions): Promise<Pair> {
  const { rounds, seconds, connections, keys } = options
  for (const { url } of [base, other]) await measure(url, { ...options, seconds: WARM_UP_SECONDS })
  const ratios: number[] = []
  const samples: object[] = []
  for (let round = 1; round <= rounds; round++) {
    const perSecond = new Map<Side, number>()
    for (const side of round % 2 === 0 ? [other, base] : [base, other]) {
      perSecond.set(side, await measure(side.url, { rounds, seconds, connections, keys }))
    }
    const ratio = perSecond.get(other)! / perSecond.get(base)!
    ratios.push(ratio)
    samples.push({ round, [base.name]: perSecond.get(base), [other.name]: perSecond.get(other), ratio })
    const told = [base, other].map((side) => `${side.name} ${Math.round(perSecond.get(side)!)}/s`)
    console.log(`round ${round}  ${told.join('  ')}  ratio ${ratio.toFixed(2)}`)
  }
  ratios.sort((one, two) => one - two)
  return { ratio: ratios[Math.floor(ratios.length / 2)]!, samples }
}

const WARM_UP_SECONDS = 3

async function measure(url: string, { seconds, connections, keys }: PairOptions): Promise<number> {
  const load = await runWrk({ url, connections, seconds, status: 200, prefer: 'wait=10', keys })
  const bad = load.wrong + load.socketErrors
  if (bad > 0) throw new Error(`${bad} answers were wrong or missing (status ${load.wrongStatus})`)
  return load.requests / load.seconds
}
