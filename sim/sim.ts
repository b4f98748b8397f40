import { parseArgs } from 'node:util'
import { formatEvents, formatViolation } from '../history/history.ts'
import { formatCoverage, mergeCoverage } from './coverage.ts'
import { MUTANTS } from './mutants/mutants.ts'
import { huntAll, runSeeds } from './threads.ts'
import type { SeedAnswer } from './worker.ts'

/**
 * Runs the real steps of a task on simulated time, log, store, workers and callers, one seed after another, and judges
 * each run. Ends with one line, "N passed, N failed", and exit code 1 if something failed. See docs/simulation.md.
 */
const USAGE = `npm run sim -- [--seeds N] [--seed K] [--minutes M] [--print] | --mutants [--mutant NAME]

  --seeds N       so many seeds, from --seed on (default 200)
  --seed K        the first one (default 1); without --seeds it is the only one
  --minutes M     as many as fit into M minutes
  --print         the history of --seed, one event a line
  --mutants       puts one bug after another into the product; each must be found
  --mutant NAME   only those whose name holds NAME`

const { values: given } = parseArgs({
  options: {
    seeds: { type: 'string' },
    seed: { type: 'string' },
    minutes: { type: 'string' },
    mutants: { type: 'boolean', default: false },
    mutant: { type: 'string' },
    print: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
const THREADS = 2
const WITNESSES_SHOWN = 3

const first = count(given.seed) ?? 1
const minutes = count(given.minutes)
let passed = 0
let failed = 0

if (given.help) {
  console.log(USAGE)
} else {
  if (given.mutants || given.mutant !== undefined) await mutants(given.mutant ?? '')
  else if (given.print) await print(first)
  else await seeds(seedsToRun())
  console.log(`${passed} passed, ${failed} failed`)
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0
}

async function seeds(range: Iterable<number>): Promise<void> {
  const covered = new Map<string, number>()
  const inconclusive: number[] = []
  const beganMs = performance.now()
  let steps = 0
  let simulatedMs = 0
  await runSeeds(range, THREADS, (answer) => {
    mergeCoverage(covered, answer.covered)
    steps += answer.steps
    simulatedMs += answer.simulatedMs
    if (answer.inconclusive) inconclusive.push(answer.seed)
    if (answer.violations.length === 0) passed++
    else {
      failed++
      tell(answer)
    }
  })
  const tookS = (performance.now() - beganMs) / 1_000
  const hours = (simulatedMs / 3_600_000).toFixed(1)
  console.log(`${formatCoverage(covered)}\n`)
  console.log(`${passed + failed} runs, ${steps} steps, ${hours} simulated hours in ${tookS.toFixed(1)} s.`)
  console.log(`${inconclusive.length} runs were inconclusive: in them nothing was lost, doubted and done again.`)
}

function tell({ seed, violations }: SeedAnswer): void {
  console.log(`\nSeed ${seed} broke ${[...new Set(violations.map((one) => one.invariant))].join(', ')}:`)
  const shown = [...Map.groupBy(violations, (one) => one.invariant).values()].map((same) => same[0]!)
  for (const violation of shown.slice(0, WITNESSES_SHOWN)) console.log(formatViolation(violation))
  console.log(`Again: npm run sim -- --seed ${seed}    whole history: npm run sim -- --seed ${seed} --print`)
}

async function print(seed: number): Promise<void> {
  const { runSeed } = await import('./run.ts')
  const { history, violations } = await runSeed(seed)
  process.stdout.write(formatEvents(history.events))
  for (const violation of violations) console.log(formatViolation(violation))
  if (violations.length === 0) passed++
  else failed++
}

async function mutants(part: string): Promise<void> {
  const wanted = MUTANTS.filter(({ name }) => name.includes(part))
  const widest = Math.max(...wanted.map(({ name }) => name.length))
  await huntAll(wanted, THREADS, ({ mutant, caught, besides }) => {
    if (caught === null) failed++
    else passed++
    const fate =
      caught === null
        ? `SURVIVED ${mutant.seedsMax} seeds; it should break ${mutant.caughtBy.join(' or ')}${besides.length > 0 ? `, and broke ${besides.join(', ')}` : ''}`
        : `found by ${caught.invariant} in seed ${caught.seed} (of ${mutant.seedsMax})`
    console.log(`${mutant.name.padEnd(widest)}  ${fate}`)
  })
}

function* seedsToRun(): Iterable<number> {
  const endMs = minutes === undefined ? Number.POSITIVE_INFINITY : performance.now() + minutes * 60_000
  const many =
    count(given.seeds) ?? (minutes !== undefined ? Number.POSITIVE_INFINITY : given.seed === undefined ? 200 : 1)
  for (let seed = first; seed < first + many && performance.now() < endMs; seed++) yield seed
}

function count(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (Number.isSafeInteger(value) && value > 0) return value
  console.error(`${JSON.stringify(text)} is not a whole number above 0.\n\n${USAGE}`)
  process.exit(2)
}
