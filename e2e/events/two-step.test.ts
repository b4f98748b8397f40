import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runTwoStep } from './run.ts'

const isLong = process.env.E2E_LONG === '1'
const PEOPLE = isLong ? 2_000 : 120

test('people register and verify while services are killed and SMTP fails 20 %: each gets its code, one account, one welcome', async (t) => {
  const seed = Date.now() % 2 ** 31
  const report = await runTwoStep({
    people: PEOPLE,
    atOnce: isLong ? 250 : 75,
    killEveryMs: isLong ? 8_000 : 4_000,
    killsMax: isLong ? Number.POSITIVE_INFINITY : 3,
    withinMs: isLong ? 400_000 : 90_000,
    restartsKafka: isLong,
    seed,
    say: (line) => t.diagnostic(line),
  })
  const { wrongs, verified, kills, redriven, repeatedMails, mails } = report
  t.diagnostic(`seed ${seed}: ${verified} verified under ${kills} kills`)
  t.diagnostic(
    `SMTP: ${Object.entries(mails)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ')}`,
  )
  t.diagnostic(`${redriven} dead letters redriven, ${repeatedMails} mails came again with the same Message-ID`)
  assert.equal(wrongs.length, 0, `${wrongs.length} wrongs (seed ${seed}):\n${wrongs.slice(0, 20).join('\n')}`)
  assert.equal(verified, PEOPLE)
  assert.ok(kills > 0, 'no service was killed')
  assert.ok(mails.later! > 0 && mails.drop! > 0 && mails.refuse! > 0, 'SMTP did not fail in every way')
})
