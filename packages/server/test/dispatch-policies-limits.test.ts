import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { KEYS_MAX, KeyRates } from '../src/dispatch/key-rates.ts'
import { shareOf } from '../src/dispatch/partition-share.ts'
import { BUDGET_WINDOW_MS, RETRIES_FREE, RetryBudget } from '../src/dispatch/retry-budget.ts'
import { TokenBucket } from '../src/dispatch/token-bucket.ts'
import { ManualClock } from '../src/store/contract/manual-clock.ts'

const rate = fc.record({ count: fc.integer({ min: 1, max: 500 }), perMs: fc.constantFrom(1_000, 60_000, 3_600_000) })

test('a rate is never exceeded: in any stretch of time at most its burst and its share of the stretch', () => {
  fc.assert(
    fc.property(
      rate,
      fc.double({ min: 0.01, max: 1, noNaN: true }),
      fc.array(fc.oneof(fc.nat(2_000), fc.constant(0)), { maxLength: 300 }),
      (given, share, waits) => {
        const clock = new ManualClock()
        const bucket = new TokenBucket(given, clock)
        bucket.share = share
        const perMs = (given.count / given.perMs) * share
        const burst = Math.max(1, perMs * 1_000)
        const taken: number[] = []
        for (const waitMs of waits) {
          clock.advance(waitMs)
          for (let asks = 0; asks < 20; asks++) if (bucket.tryTake()) taken.push(clock.monotonicMs())
        }
        for (const [first, fromMs] of taken.entries()) {
          for (let last = first; last < taken.length; last++) {
            assert.ok(last - first + 1 <= burst + perMs * (taken[last]! - fromMs) + 1e-6)
          }
        }
      },
    ),
  )
})

test('what is waited for is there: after readyInMs a token can be taken, and before it none', () => {
  fc.assert(
    fc.property(rate, fc.double({ min: 0.01, max: 1, noNaN: true }), fc.nat(200), (given, share, takes) => {
      const clock = new ManualClock()
      const bucket = new TokenBucket(given, clock)
      bucket.share = share
      for (let i = 0; i < takes; i++) {
        const waitMs = bucket.readyInMs()
        if (waitMs > 1) {
          clock.advance(waitMs - 1)
          assert.equal(bucket.tryTake(), false)
          clock.advance(1)
        } else clock.advance(waitMs)
        assert.equal(bucket.tryTake(), true)
      }
    }),
  )
})

test('one second is saved up and no more, and a slow rate saves one', () => {
  const clock = new ManualClock()
  const fast = new TokenBucket({ count: 5, perMs: 1_000 }, clock)
  const slow = new TokenBucket({ count: 1, perMs: 3_600_000 }, clock)
  clock.advance(86_400_000)
  assert.equal(takeAll(fast), 5)
  assert.equal(takeAll(slow), 1)
  assert.equal(slow.readyInMs(), 3_600_000)
})

test('a new share counts from then on, and what was saved up under a larger one is gone', () => {
  const clock = new ManualClock()
  const bucket = new TokenBucket({ count: 100, perMs: 1_000 }, clock)
  bucket.share = 0.25
  assert.equal(takeAll(bucket), 25)
  clock.advance(400)
  bucket.share = 1
  assert.equal(takeAll(bucket), 10)
  clock.advance(400)
  assert.equal(takeAll(bucket), 40)
})

test('each key has its rate for itself, and after readyInMs its next attempt may begin', () => {
  fc.assert(
    fc.property(
      rate,
      fc.array(fc.record({ key: fc.constantFrom('a', 'b', 'c'), waitMs: fc.oneof(fc.constant(0), fc.nat(3_000)) }), {
        maxLength: 200,
      }),
      (given, steps) => {
        const clock = new ManualClock()
        const rates = new KeyRates(given, clock)
        const alone = new Map<string, TokenBucket>()
        for (const { key, waitMs } of steps) {
          clock.advance(waitMs)
          const bucket = alone.get(key) ?? new TokenBucket(given, clock)
          alone.set(key, bucket)
          const inMs = rates.readyInMs(key)
          assert.ok(Math.abs(inMs - bucket.readyInMs()) <= 1, `${inMs} ms, alone ${bucket.readyInMs()} ms`)
          clock.advance(Math.max(inMs, bucket.readyInMs()))
          assert.equal(rates.readyInMs(key), 0)
          rates.take(key)
          assert.ok(bucket.tryTake())
        }
      },
    ),
  )
})

test('those of a key that wait wake one after the other, each when its turn has come', () => {
  const clock = new ManualClock()
  const rates = new KeyRates({ count: 30, perMs: 60_000 }, clock)
  rates.take('a')
  const waits = [rates.hold('a'), rates.hold('a'), rates.hold('a')]
  assert.deepEqual(waits, [2_000, 4_000, 6_000])
  for (let i = 0; i < 3; i++) {
    clock.advance(2_000)
    rates.release('a')
    assert.equal(rates.readyInMs('a'), 0)
    rates.take('a')
  }
  assert.equal(rates.hold('a'), 2_000, 'nobody is held any more')
  assert.equal(rates.hold('b'), 0)
})

test('a key is remembered only until its rate is saved up again, and never too many', () => {
  const clock = new ManualClock()
  const rates = new KeyRates({ count: 1, perMs: 60_000 }, clock)
  for (let i = 0; i < 1_000; i++) rates.take(`early ${i}`)
  clock.advance(60_000)
  for (let i = 0; i < KEYS_MAX + 10; i++) rates.take(`late ${i}`)
  assert.equal(rates.size, KEYS_MAX)
  assert.equal(rates.readyInMs('early 7'), 0)
  assert.equal(rates.readyInMs('late 7'), 0, 'one that was forgotten')
  assert.equal(rates.readyInMs(`late ${KEYS_MAX}`), 60_000)
})

test('whatever the history, retries stay within the budget of the ten seconds before each', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0, max: 2, noNaN: true }),
      fc.array(fc.record({ waitMs: fc.oneof(fc.nat(50), fc.nat(4_000)), firsts: fc.nat(30), retries: fc.nat(30) }), {
        maxLength: 100,
      }),
      (ratio, steps) => {
        const clock = new ManualClock()
        const budget = new RetryBudget(ratio, clock)
        const firsts: number[] = []
        const retries: number[] = []
        const within = (times: readonly number[]) =>
          times.filter((ms) => ms > clock.monotonicMs() - BUDGET_WINDOW_MS).length
        for (const step of steps) {
          clock.advance(step.waitMs)
          for (let i = 0; i < step.firsts; i++) {
            budget.firstAttempt()
            firsts.push(clock.monotonicMs())
          }
          for (let i = 0; i < step.retries; i++) {
            if (!budget.tryRetry()) continue
            retries.push(clock.monotonicMs())
            assert.ok(within(retries) <= ratio * within(firsts) + RETRIES_FREE + 1e-9)
          }
        }
        const windows = Math.floor(clock.monotonicMs() / BUDGET_WINDOW_MS) + 1
        assert.ok(retries.length <= ratio * firsts.length + RETRIES_FREE * windows + 1e-9, 'and over all of it')
      },
    ),
  )
})

test('a handful of retries is free, and comes back with time', () => {
  const clock = new ManualClock()
  const budget = new RetryBudget(0.1, clock)
  assert.equal(retryAll(budget), RETRIES_FREE)
  clock.advance(BUDGET_WINDOW_MS + 1_000)
  for (let i = 0; i < 200; i++) budget.firstAttempt()
  assert.equal(retryAll(budget), RETRIES_FREE + 20)
})

test('a retry that did not fail gives its place back: after an outage only the failing ones are held', () => {
  const clock = new ManualClock()
  const budget = new RetryBudget(0.1, clock)
  for (let i = 0; i < 1_000; i++) {
    assert.ok(budget.tryRetry())
    budget.giveBack()
    clock.advance(1)
  }
  assert.equal(retryAll(budget), RETRIES_FREE)
  clock.advance(5_000)
  budget.giveBack()
  assert.equal(retryAll(budget), 1, 'also one of seconds ago')
})

test('without a ratio every retry is let through', () => {
  const budget = new RetryBudget(null, new ManualClock())
  for (let i = 0; i < 10_000; i++) assert.ok(budget.tryRetry())
})

test('the parts of all owners add up to the whole, whoever owns what', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 64 }),
      fc.nat(5_000),
      fc.array(fc.nat(9), { minLength: 64, maxLength: 64 }),
      (partitions, extra, ownerOf) => {
        const total = partitions + extra
        const owners = new Map<number, Set<number>>()
        for (let partition = 0; partition < partitions; partition++) {
          const owner = ownerOf[partition]!
          owners.set(owner, (owners.get(owner) ?? new Set()).add(partition))
        }
        const parts = [...owners.values()].map((owned) => shareOf(total, owned, partitions))
        assert.equal(
          parts.reduce((sum, part) => sum + part, 0),
          total,
        )
      },
    ),
  )
})

test('an owner gets at least one, and who owns nothing gets nothing', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 1, max: 64 }), fc.nat(63), (total, count, which) => {
      const part = shareOf(total, new Set([which % count]), count)
      assert.ok(part >= 1 && part <= Math.ceil(total / count))
      assert.equal(shareOf(total, new Set(), count), 0)
    }),
  )
})

function takeAll(bucket: TokenBucket): number {
  let taken = 0
  while (bucket.tryTake()) taken++
  return taken
}

function retryAll(budget: RetryBudget): number {
  let retried = 0
  while (budget.tryRetry()) retried++
  return retried
}
