import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Breaker, OPEN_JITTER, OPEN_TIMES_MAX } from '../src/dispatch/breaker.ts'
import { ManualClock } from '../src/store/contract/manual-clock.ts'

const OPTIONS = { failureShare: 0.5, attemptsMin: 20, windowMs: 10_000, openMs: 5_000, probes: 3 }
const always = (unit: number) => ({ fill: () => {}, unit: () => unit })

function breaker(unit = 0) {
  const clock = new ManualClock()
  return { clock, breaker: new Breaker(OPTIONS, clock, always(unit)) }
}

/** Begins and ends attempts, as many as are let through. */
function attempts(one: Breaker, count: number, failed: boolean): number {
  let begun = 0
  for (; begun < count && one.mayBegin(); begun++) one.ended(failed, one.begun())
  return begun
}

test('it opens when half of at least twenty attempts failed, and not one earlier', () => {
  const { breaker: one } = breaker()
  attempts(one, 10, false)
  attempts(one, 9, true)
  assert.equal(one.state, 'closed', '9 of 19')
  attempts(one, 1, true)
  assert.equal(one.state, 'open', '10 of 20')
  assert.equal(one.mayBegin(), false)
})

test('failures below the share, or fewer attempts than it takes, leave it closed', () => {
  const { breaker: one } = breaker()
  for (let i = 0; i < 500; i++) {
    attempts(one, 2, false)
    attempts(one, 1, true)
  }
  assert.equal(one.state, 'closed')
  const few = breaker()
  for (let i = 0; i < 50; i++) {
    attempts(few.breaker, 19, true)
    few.clock.advance(OPTIONS.windowMs)
  }
  assert.equal(few.breaker.state, 'closed')
})

test('at most as many attempts fail as it takes to open, whatever came before and however many are waiting', () => {
  fc.assert(
    fc.property(fc.nat(200), (successes) => {
      const { breaker: one } = breaker()
      attempts(one, successes, false)
      const failures = attempts(one, 100_000, true)
      assert.ok(failures <= Math.max(OPTIONS.attemptsMin, successes))
      assert.equal(one.state, 'open')
    }),
  )
})

test('after its time it lets the probes through, and closes when all of them succeed', () => {
  const { clock, breaker: one } = breaker()
  attempts(one, 20, true)
  assert.equal(one.retryInMs(), 5_000)
  clock.advance(4_999)
  assert.equal(one.mayBegin(), false)
  clock.advance(1)
  assert.equal(one.state, 'half-open')
  assert.equal(one.retryInMs(), 0)
  const tickets = [one.begun(), one.begun(), one.begun()]
  assert.equal(one.mayBegin(), false, 'three probes are out')
  assert.equal(one.retryInMs(), Number.POSITIVE_INFINITY)
  for (const ticket of tickets.slice(0, 2)) one.ended(false, ticket)
  assert.equal(one.state, 'half-open')
  assert.equal(one.mayBegin(), false)
  one.ended(false, tickets[2])
  assert.equal(one.state, 'closed')
  attempts(one, 19, true)
  assert.equal(one.state, 'closed', 'it begins with a clean sheet')
})

test('a failed probe opens it again, each time for twice as long, up to eight times', () => {
  const { clock, breaker: one } = breaker()
  attempts(one, 20, true)
  const waited: number[] = []
  for (let i = 0; i < 6; i++) {
    waited.push(one.retryInMs())
    clock.advance(one.retryInMs())
    assert.equal(attempts(one, 10, true), 1, 'one failure is enough')
    assert.equal(one.state, 'open')
  }
  assert.deepEqual(waited, [5_000, 10_000, 20_000, 40_000, 40_000, 40_000])
  clock.advance(one.retryInMs())
  attempts(one, 3, false)
  attempts(one, 20, true)
  assert.equal(one.retryInMs(), 5_000, 'closing ends the doubling')
})

test('the time it stays open is spread by chance', () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (unit) => {
      const { breaker: one } = breaker(unit)
      attempts(one, 20, true)
      assert.equal(one.retryInMs(), Math.ceil(OPTIONS.openMs * (1 + OPEN_JITTER * unit)))
    }),
  )
})

test('the place of an abandoned probe is free again', () => {
  const { clock, breaker: one } = breaker()
  attempts(one, 20, true)
  clock.advance(5_000)
  const tickets = [one.begun(), one.begun(), one.begun()]
  one.abandoned(tickets[0])
  assert.equal(one.mayBegin(), true)
  assert.equal(one.state, 'half-open')
})

test('attempts from before an opening say nothing about the probes', () => {
  const { clock, breaker: one } = breaker()
  const stragglers = Array.from({ length: 10 }, () => one.begun())
  attempts(one, 20, true)
  for (const ticket of stragglers.slice(0, 3)) one.ended(true, ticket)
  assert.equal(one.retryInMs(), 5_000, 'late failures do not lengthen it')
  clock.advance(5_000)
  assert.equal(one.state, 'half-open')
  for (const ticket of stragglers.slice(3, 6)) one.ended(false, ticket)
  assert.equal(one.state, 'half-open', 'late successes do not close it')
  one.ended(true, stragglers[6])
  assert.equal(one.state, 'half-open', 'nor do late failures open it')
  for (const ticket of stragglers.slice(7)) one.abandoned(ticket)
  assert.equal(attempts(one, 10, false), 10)
  assert.equal(one.state, 'closed')
})

test('what lies further back than the window does not count', () => {
  const { clock, breaker: one } = breaker()
  attempts(one, 19, true)
  clock.advance(OPTIONS.windowMs)
  attempts(one, 10, false)
  attempts(one, 9, true)
  assert.equal(one.state, 'closed')
})

test('whatever happens, no more probes are out than allowed, none begins while open, and no state stays open for ever', () => {
  const step = fc.oneof(
    fc.record({ wait: fc.nat(20_000) }),
    fc.constant('begin' as const),
    fc.record({ end: fc.nat(50), how: fc.constantFrom('failed', 'succeeded', 'abandoned') }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), fc.double({ min: 0, max: 0.99, noNaN: true }), (steps, unit) => {
      const clock = new ManualClock()
      const one = new Breaker({ ...OPTIONS, attemptsMin: 2 }, clock, always(unit))
      const out: { readonly ticket: number; readonly isProbe: boolean }[] = []
      for (const act of steps) {
        if (act === 'begin') {
          if (one.mayBegin()) {
            assert.notEqual(one.state, 'open')
            const isProbe = one.state === 'half-open'
            out.push({ ticket: one.begun(), isProbe })
            const together = out.filter((other) => other.isProbe && other.ticket === out.at(-1)!.ticket)
            assert.ok(together.length <= OPTIONS.probes)
          }
        } else if ('wait' in act) clock.advance(act.wait)
        else if (out.length > 0) {
          const [{ ticket } = { ticket: 0 }] = out.splice(act.end % out.length, 1)
          if (act.how === 'abandoned') one.abandoned(ticket)
          else one.ended(act.how === 'failed', ticket)
        }
        if (one.state === 'open') {
          assert.ok(one.retryInMs() <= OPTIONS.openMs * OPEN_TIMES_MAX * (1 + OPEN_JITTER) + 1)
        }
      }
      clock.advance(OPTIONS.openMs * OPEN_TIMES_MAX * 2)
      assert.notEqual(one.state, 'open')
    }),
  )
})
