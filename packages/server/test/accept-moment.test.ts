import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseMoment } from '../src/accept/moment.ts'

test('every moment is read back from each way to write it', () => {
  const moments = fc.date({
    min: new Date('0001-01-01T00:00:00Z'),
    max: new Date('9999-12-30T00:00:00Z'),
    noInvalidDate: true,
  })
  fc.assert(
    fc.property(moments, fc.integer({ min: -1_439, max: 1_439 }), (moment, zoneMinutes) => {
      const ms = moment.getTime()
      assert.equal(parseMoment(moment.toISOString()), ms)
      assert.equal(parseMoment(moment.toISOString().toLowerCase()), ms)
      assert.equal(parseMoment(moment.toUTCString()), Math.floor(ms / 1_000) * 1_000)
      const there = new Date(ms + zoneMinutes * 60_000)
      if (there.getUTCFullYear() < 1 || there.getUTCFullYear() > 9_999) return
      const away = Math.abs(zoneMinutes)
      const zone = `${String(Math.floor(away / 60)).padStart(2, '0')}:${String(away % 60).padStart(2, '0')}`
      assert.equal(parseMoment(there.toISOString().replace('Z', (zoneMinutes < 0 ? '-' : '+') + zone)), ms)
    }),
  )
})

test('fractions of any length are rounded up to the next millisecond, so that nothing begins early', () => {
  const whole = Date.parse('2026-05-01T08:30:00Z')
  for (const [fraction, ms] of [
    ['5', 500],
    ['001', 1],
    ['0001', 1],
    ['123456789', 124],
    ['000000000000000000', 0],
    ['999999999999', 1_000],
  ] as const) {
    assert.equal(parseMoment(`2026-05-01T08:30:00.${fraction}Z`), whole + ms, fraction)
  }
})

test('what no calendar or clock has is no moment, nor is any other way to write one', () => {
  for (const text of [
    '',
    'tomorrow',
    '1777624200',
    '2026-05-01',
    '2026-05-01T08:30Z',
    '2026-05-01T08:30:00',
    '2026-05-01 08:30:00Z',
    '2026-05-01T08:30:00+0200',
    '2026-05-01T08:30:00+24:00',
    '2026-05-01T08:30:00+02:60',
    '2026-02-29T00:00:00Z',
    '2026-02-30T00:00:00Z',
    '2026-04-31T00:00:00Z',
    '2026-00-10T00:00:00Z',
    '2026-13-10T00:00:00Z',
    '2026-05-00T00:00:00Z',
    '2026-05-01T24:00:00Z',
    '2026-05-01T08:60:00Z',
    '2026-05-01T23:59:60Z',
    '2026-05-01T08:30:00.Z',
    '2026-05-01T08:30:00.1234567890123456789Z',
    '+02026-05-01T08:30:00Z',
    ' 2026-05-01T08:30:00Z',
    '2026-05-01T08:30:00Z\n',
    'Thu, 01 May 2026 08:30:00 GMT',
    'Fri, 01 May 2026 08:30:00 UTC',
    'Fri, 1 May 2026 08:30:00 GMT',
    'Friday, 01-May-26 08:30:00 GMT',
    'Fri May  1 08:30:00 2026',
    'fri, 01 may 2026 08:30:00 gmt',
    'Sun, 31 Feb 2026 08:30:00 GMT',
    'Fri, 01 May 2026 24:30:00 GMT',
  ]) {
    assert.equal(parseMoment(text), null, text)
  }
  assert.equal(parseMoment('2028-02-29T00:00:00Z'), Date.parse('2028-02-29T00:00:00Z'))
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => parseMoment(text) === null))
})
