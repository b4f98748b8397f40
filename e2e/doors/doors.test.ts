import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatViolation } from '../../history/history.ts'
import { runDoors } from './run.ts'

const LONG = process.env.E2E_LONG === '1'

test('in by any door, out by any other, while gateways are killed: each caller gets its own, single, same result', async (t) => {
  const seed = Date.now() % 2 ** 31
  const report = await runDoors({
    tasks: LONG ? 20_000 : 1_200,
    callers: 48,
    killEveryMs: 5_000,
    seed,
    say: (line) => t.diagnostic(line),
  })
  const { kept, kills, pairs, troubles, callbacks } = report
  t.diagnostic(`seed ${seed}: ${kept} tasks by ${pairs.size} pairs of doors, ${kills} kills`)
  t.diagnostic(`${callbacks.called} of ${callbacks.wanted} callbacks came, in ${callbacks.calls} calls`)
  for (const [trouble, count] of [...troubles].sort((one, other) => other[1] - one[1])) {
    t.diagnostic(`${count} × ${trouble}`)
  }
  const wrongs = report.wrongs.slice(0, 10).join('\n')
  assert.equal(report.wrongs.length, 0, `${report.wrongs.length} wrongs (seed ${seed}):\n${wrongs}\n${report.output}`)
  const told = report.violations.slice(0, 5).map(formatViolation).join('\n\n')
  assert.equal(report.violations.length, 0, `${report.violations.length} violations (seed ${seed}):\n${told}`)
  assert.equal(kept, LONG ? 20_000 : 1_200)
  assert.ok(kills > 0, 'no gateway was killed')
})
