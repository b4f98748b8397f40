import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { formatEvents, formatViolation } from '../../history/history.ts'
import { MUTANTS } from '../mutants/mutants.ts'
import { runSeed } from '../run.ts'
import { hunt, runSeeds } from '../threads.ts'

const ROOT = new URL('../../', import.meta.url)

test('a seed tells the same story twice, byte for byte', async () => {
  const tell = async () => formatEvents((await runSeed(7)).history.events)
  const first = await tell()
  // Another run in between: nothing of it may be left.
  await runSeed(8)
  assert.ok(first.length > 50_000)
  assert.equal(await tell(), first)
})

test('sixty seeds keep every promise, and most of them were put to the test', { timeout: 300_000 }, async () => {
  const broken: string[] = []
  const covered = new Set<string>()
  let inconclusive = 0
  await runSeeds(range(1, 61), 2, (answer) => {
    if (answer.inconclusive) inconclusive++
    for (const corner of answer.covered.keys()) covered.add(corner)
    for (const violation of answer.violations) broken.push(`seed ${answer.seed}: ${formatViolation(violation)}`)
  })
  assert.deepEqual(broken, [])
  assert.ok(inconclusive < 30, `${inconclusive} of 60 runs were inconclusive`)
  for (const corner of [
    'publish answer-lost',
    'store answer-lost',
    'attempt timed-out',
    'session expired',
    'commit refused',
  ])
    assert.ok(covered.has(corner), `no run has seen: ${corner}`)
})

test('every mutant changes one place of a file that is there', () => {
  for (const { name, file, find } of MUTANTS) {
    const parts = readFileSync(new URL(file, ROOT), 'utf8').split(find)
    assert.equal(parts.length - 1, 1, `"${name}": in ${file}`)
  }
})

for (const name of [
  'the caller is told "kept" before the log has it',
  'a key goes on while its first task waits for a retry',
  'the last result of a task wins',
  '"seen" stands for "done" in the committed position',
]) {
  test(`the simulation finds that ${name}`, { timeout: 120_000 }, async () => {
    const mutant = MUTANTS.find((one) => one.name === name)
    assert.ok(mutant !== undefined)
    assert.ok((await hunt(mutant)).caught !== null)
  })
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index)
}
