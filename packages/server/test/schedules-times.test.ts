import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type CronTimes, cronTimes, isTimeZone } from '../src/cron.ts'
import { dueFires, LATE_MS, MISSED_MAX } from '../src/dispatch/due-fires.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000

/** Times between two moments, as local time in Berlin with its offset. */
function inBerlin(cron: string, from: string, until: string): string[] {
  const format = new Intl.DateTimeFormat('sv', {
    timeZone: 'Europe/Berlin',
    dateStyle: 'short',
    timeStyle: 'short',
  })
  const offset = (ms: number) => (new Date(ms).getTime() - localAsUtc(ms) === -2 * HOUR_MS ? '+2' : '+1')
  const localAsUtc = (ms: number) => Date.parse(`${format.format(ms).replace(' ', 'T')}:00Z`)
  return timesBetween(cronTimes(cron, 'Europe/Berlin'), Date.parse(from), Date.parse(until)).map(
    (ms) => `${format.format(ms)} ${offset(ms)}`,
  )
}

function timesBetween(times: CronTimes, afterMs: number, untilMs: number): number[] {
  const found: number[] = []
  for (let at = times.nextAfter(afterMs); at !== null && at <= untilMs; at = times.nextAfter(at)) found.push(at)
  return found
}

test('in spring a daily time that the clocks leave out comes at the end of the gap, and once', () => {
  assert.deepEqual(inBerlin('30 2 * * *', '2026-03-28T00:00Z', '2026-03-30T12:00Z'), [
    '2026-03-28 02:30 +1',
    '2026-03-29 03:00 +2',
    '2026-03-30 02:30 +2',
  ])
  assert.deepEqual(inBerlin('0 1-4 * * *', '2026-03-28T23:30Z', '2026-03-29T12:00Z'), [
    '2026-03-29 01:00 +1',
    '2026-03-29 03:00 +2',
    '2026-03-29 04:00 +2',
  ])
})

test('in autumn a daily time that comes twice counts the first time', () => {
  assert.deepEqual(inBerlin('30 2 * * *', '2026-10-24T00:00Z', '2026-10-26T12:00Z'), [
    '2026-10-24 02:30 +2',
    '2026-10-25 02:30 +2',
    '2026-10-26 02:30 +1',
  ])
  assert.deepEqual(inBerlin('0 1-4 * * *', '2026-10-24T22:30Z', '2026-10-25T12:00Z'), [
    '2026-10-25 01:00 +2',
    '2026-10-25 02:00 +2',
    '2026-10-25 03:00 +1',
    '2026-10-25 04:00 +1',
  ])
})

test('what comes every so many minutes comes so through both changes', () => {
  for (const [from, until] of [
    ['2026-03-29T00:00Z', '2026-03-29T03:00Z'],
    ['2026-10-25T00:00Z', '2026-10-25T03:00Z'],
  ] as const) {
    const times = timesBetween(cronTimes('*/20 * * * *', 'Europe/Berlin'), Date.parse(from), Date.parse(until))
    assert.equal(times.length, 9)
    for (const [index, at] of times.entries()) assert.equal(at, Date.parse(from) + (index + 1) * 20 * MINUTE_MS)
  }
})

const field = (min: number, max: number) =>
  fc.oneof(
    fc.constant('*'),
    fc.integer({ min, max }).map(String),
    fc.constantFrom(2, 3, 7, 10).map((step) => `*/${step}`),
    fc.tuple(fc.integer({ min, max }), fc.integer({ min, max })).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`),
  )
const cron = fc.tuple(field(0, 59), field(0, 5)).map(([minute, hour]) => `${minute} ${hour} * * *`)
const zone = fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kolkata')
/** Days on which some of these zones change their clocks, and others. */
const moment = fc
  .tuple(
    fc.constantFrom('2026-03-08', '2026-03-29', '2026-04-05', '2026-10-04', '2026-10-25', '2026-11-01', '2026-07-01'),
    fc.integer({ min: -12 * 60, max: 36 * 60 }),
    fc.nat(59_999),
  )
  .map(([day, minutes, ms]) => Date.parse(`${day}T00:00Z`) + minutes * MINUTE_MS + ms)

test('looked back on, the times are the same as they were when they came', () => {
  fc.assert(
    fc.property(cron, zone, moment, fc.integer({ min: 1, max: 30 }), (pattern, timeZone, atMs, count) => {
      const times = cronTimes(pattern, timeZone)
      const came = timesBetween(times, atMs - 8 * HOUR_MS, atMs)
      const back = times.latestUpTo(atMs, count)
      assert.equal(back.length, count)
      const within = back.filter((one) => one > atMs - 8 * HOUR_MS)
      assert.deepEqual(within, came.slice(-count), `${pattern} ${timeZone} ${new Date(atMs).toISOString()}`)
    }),
    { numRuns: 100 },
  )
})

test('of what came since the last fire, each policy makes what it says', () => {
  fc.assert(
    fc.property(cron, zone, moment, fc.nat(120), (pattern, timeZone, lastMs, minutes) => {
      const times = cronTimes(pattern, timeZone)
      const nowMs = times.nextAfter(lastMs)! + minutes * MINUTE_MS
      const came = timesBetween(times, lastMs, nowMs)
      const latestMs = came.at(-1)!
      const onTime = nowMs - latestMs <= LATE_MS
      const missed = onTime ? came.length - 1 : came.length
      const fires = { all: came.slice(-MISSED_MAX), once: [latestMs], skip: onTime ? [latestMs] : [] }
      for (const policy of ['all', 'once', 'skip'] as const) {
        const due = dueFires(times, policy, lastMs, nowMs)
        assert.deepEqual(due, { fires: fires[policy], missed, latestMs })
      }
    }),
    { numRuns: 50 },
  )
})

test('a year of missed seconds costs a thousand fires and no more', () => {
  const times = cronTimes('* * * * * *', 'UTC')
  const nowMs = Date.parse('2026-06-01T12:00:00Z')
  const due = dueFires(times, 'all', nowMs - 365 * 24 * HOUR_MS, nowMs)
  assert.equal(due.fires.length, MISSED_MAX)
  assert.equal(due.fires.at(-1), nowMs)
  assert.equal(due.fires[0], nowMs - (MISSED_MAX - 1) * 1_000)
  assert.equal(due.missed, MISSED_MAX)
})

test('time zones go by their IANA names', () => {
  for (const name of ['UTC', 'Europe/Berlin', 'America/Argentina/Buenos_Aires']) assert.ok(isTimeZone(name), name)
  for (const name of ['', 'Europe/Berln', '+02:00', 'Mars', '__proto__']) assert.ok(!isTimeZone(name), name)
})
