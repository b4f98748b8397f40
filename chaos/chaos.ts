import { parseArgs } from 'node:util'
import { formatViolation } from '../history/history.ts'
import { requireCommand } from '../scripts/rig/debian.ts'
import { runChaos } from './run.ts'

/**
 * `npm run chaos -- [--minutes N] [--seed K] [--rate N] [--every MS]`: real processes, three brokers, PostgreSQL, and a
 * fault every few seconds; then the same checkers that judge the simulation. Ends with "N passed, N failed": tasks.
 */
const SHOWN_OF_EACH = 3

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '3' },
    seed: { type: 'string' },
    rate: { type: 'string', default: '80' },
    every: { type: 'string', default: '3000' },
    workers: { type: 'string', default: '3' },
  },
})
await requireCommand('kcat', 'kcat')
const began = performance.now()
const say = (line: string) => console.log(`${((performance.now() - began) / 1000).toFixed(0).padStart(5)} s  ${line}`)
const report = await runChaos({
  seconds: number('minutes') * 60,
  seed: values.seed === undefined ? Date.now() % 2 ** 31 : number('seed'),
  perS: number('rate'),
  faultEveryMs: number('every'),
  workers: number('workers'),
  say,
})
const { violations, inconclusive, acked, counts } = report
console.log()
console.log([...report.faults].map(([name, count]) => `${name} ${count}`).join(', '))
console.log(
  `${acked} tasks kept, ${counts.refused} submissions refused, ${counts.unknown} unknown, ${counts.cancels} cancellations asked`,
)
console.log(
  `${report.attempts} attempts, ${report.attemptsTwice} of them twice; ${report.resultsTwice} results came second and were dropped`,
)
for (const [invariant, broken] of Map.groupBy(violations, (violation) => violation.invariant)) {
  console.log(`\n${invariant} is broken ${broken.length} times`)
  for (const violation of broken.slice(0, SHOWN_OF_EACH)) console.log(formatViolation(violation))
}
for (const reason of inconclusive) console.log(`INCONCLUSIVE: ${reason}`)
if (violations.length > 0) console.log(`\n${report.output}`)
const failed = violations.length + inconclusive.length
console.log(`\n${acked} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)

function number(name: keyof typeof values): number {
  const value = Number(values[name])
  if (!(value > 0)) throw new Error(`--${name} ${values[name]}: write a number above 0`)
  return value
}
