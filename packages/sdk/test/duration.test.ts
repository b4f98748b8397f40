import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { durationMs } from '../src/duration.ts'

test('a duration is milliseconds or a number with a unit', () => {
  for (const [given, ms] of [
    [0, 0],
    [1500, 1500],
    ['500ms', 500],
    ['10s', 10_000],
    ['1.5s', 1_500],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['1d', 86_400_000],
  ] as const) {
    assert.equal(durationMs(given, 'within'), ms)
  }
})

test('what is no duration is refused with the field, the value and the right forms', () => {
  for (const given of [
    '',
    '10',
    '10 s',
    '-1s',
    's',
    '1e3s',
    '10S',
    '1w',
    '5s5',
    -1,
    Number.NaN,
    Number.POSITIVE_INFINITY,
  ]) {
    assert.throws(() => durationMs(given, 'within'), {
      code: 'BAD_REQUEST',
      message: /^within: .* is not a duration\. Use milliseconds or a number with a unit: '500ms', '10s'/,
    })
  }
  assert.throws(() => durationMs(`${'9'.repeat(400)}s`, 'within'), { code: 'BAD_REQUEST' })
  assert.throws(() => durationMs(undefined as unknown as number, 'within'), { code: 'BAD_REQUEST' })
})

test('any whole number with any unit is that many of it', () => {
  const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
  fc.assert(
    fc.property(fc.nat(), fc.constantFrom('ms', 's', 'm', 'h', 'd'), (count, unit) => {
      assert.equal(durationMs(`${count}${unit}`, 'x'), count * units[unit as keyof typeof units])
    }),
  )
})
