import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runChaos } from '../../chaos/run.ts'
import { formatViolation } from '../../history/history.ts'

const FAULTS_LEAST = 25

test('a hundred seconds of kills and pauses of every part: nothing lost, one answer each, keys in order', async (t) => {
  const seed = Date.now() % 2 ** 31
  const report = await runChaos({
    seconds: 100,
    seed,
    perS: 60,
    faultEveryMs: 2_400,
    workers: 3,
    say: (line) => t.diagnostic(line),
  })
  const faults = [...report.faults.values()].reduce((sum, count) => sum + count, 0)
  t.diagnostic(
    `seed ${seed}: ${report.acked} tasks, ${faults} faults, ${report.attemptsTwice} of ${report.attempts} attempts ran twice`,
  )
  const told = report.violations.slice(0, 5).map(formatViolation).join('\n\n')
  assert.equal(report.violations.length, 0, `${report.violations.length} violations (seed ${seed}):\n${told}`)
  assert.ok(faults >= FAULTS_LEAST, `only ${faults} faults ran`)
  // Nothing was broken, but nothing that could break was tried either: that is not a pass.
  if (report.inconclusive.length > 0) t.skip(`inconclusive: ${report.inconclusive.join(', ')} (seed ${seed})`)
})
