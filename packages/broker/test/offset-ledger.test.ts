import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { OffsetLedger, WINDOW_OFFSETS_MAX } from '../src/offset-ledger.ts'

const METADATA_CHARACTERS_MAX = 4096

type Step =
  | { readonly kind: 'deliver'; readonly gap: number }
  | { readonly kind: 'settle'; readonly pick: number }
  | { readonly kind: 'burst'; readonly records: number; readonly every: number }
  | { readonly kind: 'restart' }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({ kind: fc.constant('deliver' as const), gap: fc.constantFrom(0, 0, 0, 0, 1, 3, 33, 700) }),
  },
  { weight: 12, arbitrary: fc.record({ kind: fc.constant('settle' as const), pick: fc.nat(1000) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('burst' as const),
      records: fc.integer({ min: 30, max: 90 }),
      every: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
)

/** The same in plain sets. `log` holds every offset that exists; after a restart they come again from the watermark. */
class Model {
  readonly log: number[] = []
  readonly done = new Set<number>()
  open = new Set<number>()
  ledger: OffsetLedger
  readonly start: number

  constructor(start: number) {
    this.start = start
    this.ledger = OffsetLedger.start(start)
  }

  deliver(gap: number): void {
    const offset = (this.log.at(-1) ?? this.start - 1) + 1 + gap
    const watermark = this.ledger.watermark
    const verdict = this.ledger.deliver(offset)
    if (verdict === 'wait') {
      assert.ok(this.open.size > 0 && offset - watermark >= WINDOW_OFFSETS_MAX, 'waits only when there is no room')
      return
    }
    assert.equal(verdict, 'deliver', `offset ${offset} is new`)
    this.log.push(offset)
    this.open.add(offset)
  }

  settle(pick: number): void {
    if (this.open.size === 0) return
    const offset = [...this.open][pick % this.open.size]!
    assert.ok(this.ledger.settle(offset), 'a delivered offset settles')
    assert.ok(!this.ledger.settle(offset), 'but once')
    this.open.delete(offset)
    this.done.add(offset)
  }

  restart(): void {
    const before = this.ledger
    const text = before.encode()
    const next = OffsetLedger.decode(before.watermark, text)
    assert.equal(next.watermark, before.watermark)
    assert.equal(next.encode(), text, 'what was written is what is read')
    this.ledger = next
    this.open = new Set()
    for (const offset of this.log) {
      const verdict = next.deliver(offset)
      assert.equal(verdict, this.done.has(offset) ? 'skip' : 'deliver', `offset ${offset} after the restart`)
      if (verdict === 'deliver') this.open.add(offset)
    }
  }

  check(): void {
    const ledger = this.ledger
    const first = this.log.find((offset) => !this.done.has(offset))
    if (first === undefined) assert.ok(ledger.watermark >= this.start)
    else assert.ok(ledger.watermark <= first, `watermark ${ledger.watermark} passed ${first}, which is not settled`)
    if (first !== undefined && this.open.has(first)) assert.equal(ledger.watermark, first, 'gaps do not stall it')
    assert.equal(ledger.unsettled, this.open.size)
    assert.ok(ledger.span <= WINDOW_OFFSETS_MAX)
    assert.equal(ledger.full, ledger.span >= WINDOW_OFFSETS_MAX)
    for (const offset of this.log) assert.equal(ledger.isDone(offset), this.done.has(offset), `offset ${offset}`)
  }
}

test('every random history of deliveries, settlements and restarts agrees with plain sets', () => {
  const start = fc.constantFrom(0, 1, 31, 32, 1000, 2 ** 31 - 40, 2 ** 32 - 40, 2 ** 45)
  fc.assert(
    fc.property(start, fc.array(step, { maxLength: 60 }), (from, steps) => {
      const model = new Model(from)
      for (const one of steps) {
        if (one.kind === 'deliver') model.deliver(one.gap)
        else if (one.kind === 'settle') model.settle(one.pick)
        else if (one.kind === 'restart') model.restart()
        else
          for (let index = 0; index < one.records; index++) {
            model.deliver(0)
            if (index % one.every === 0) model.settle(index * 7)
          }
      }
      model.check()
      model.restart()
      model.check()
      assert.ok(model.ledger.encode().length <= METADATA_CHARACTERS_MAX)
    }),
    { numRuns: 10_000 },
  )
})

test('the widest window fits the commit metadata, whatever is done in it', () => {
  fc.assert(
    fc.property(fc.infiniteStream(fc.boolean()), fc.nat(1000), (settled, from) => {
      const ledger = OffsetLedger.start(from)
      for (let offset = from; offset < from + WINDOW_OFFSETS_MAX; offset++)
        assert.equal(ledger.deliver(offset), 'deliver')
      for (let offset = from + 1; offset < from + WINDOW_OFFSETS_MAX; offset++) {
        if (settled.next().value) ledger.settle(offset)
      }
      assert.equal(ledger.watermark, from)
      assert.ok(ledger.encode().length <= METADATA_CHARACTERS_MAX, `${ledger.encode().length} characters`)
      assert.equal(OffsetLedger.decode(from, ledger.encode()).encode(), ledger.encode())
    }),
    { numRuns: 20 },
  )
  const alternating = OffsetLedger.start(0)
  for (let offset = 0; offset < WINDOW_OFFSETS_MAX; offset++) alternating.deliver(offset)
  for (let offset = 1; offset < WINDOW_OFFSETS_MAX; offset += 2) alternating.settle(offset)
  assert.ok(alternating.encode().length <= METADATA_CHARACTERS_MAX)
})

test('the window closes before it is wider than the metadata can hold, and opens when the watermark moves', () => {
  const ledger = OffsetLedger.start(0)
  for (let offset = 0; offset < WINDOW_OFFSETS_MAX; offset++) assert.equal(ledger.deliver(offset), 'deliver')
  assert.ok(ledger.full)
  assert.equal(ledger.deliver(WINDOW_OFFSETS_MAX), 'wait')
  ledger.settle(1)
  assert.equal(ledger.deliver(WINDOW_OFFSETS_MAX), 'wait', 'the first one still blocks')
  ledger.settle(0)
  assert.equal(ledger.watermark, 2)
  assert.equal(ledger.deliver(WINDOW_OFFSETS_MAX), 'deliver')
})

test('a gap wider than the window waits for what is open and then is passed in one step', () => {
  const ledger = OffsetLedger.start(5)
  ledger.deliver(5)
  assert.equal(ledger.deliver(10 ** 9), 'wait')
  ledger.settle(5)
  assert.equal(ledger.deliver(10 ** 9), 'deliver')
  assert.equal(ledger.watermark, 10 ** 9)
})

test('what was never delivered cannot be settled', () => {
  const ledger = OffsetLedger.start(10)
  ledger.deliver(10)
  ledger.deliver(14)
  for (const offset of [0, 9, 11, 12, 13, 15, 10 ** 12]) assert.equal(ledger.settle(offset), false, `${offset}`)
  assert.ok(ledger.settle(14))
  assert.equal(ledger.watermark, 10)
})

test('a damaged, cut off or foreign done-set never marks anything as done', () => {
  const ledger = OffsetLedger.start(100)
  for (let offset = 100; offset < 1100; offset++) ledger.deliver(offset)
  for (let offset = 101; offset < 1100; offset += 3) ledger.settle(offset)
  const sparse = OffsetLedger.start(100)
  for (let offset = 100; offset < 200; offset++) sparse.deliver(offset)
  for (const offset of [103, 150, 199]) sparse.settle(offset)
  for (const good of [ledger.encode(), sparse.encode()]) {
    const characters = fc.array(fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 0, max: 0x7f })), {
      minLength: 1,
      maxLength: 3,
    })
    fc.assert(
      fc.property(characters, fc.nat(good.length), (changes, cut) => {
        const text = [...good]
        for (const [at, code] of changes) text[at] = String.fromCharCode(code)
        expectSameOrEmpty(good, text.join(''))
        expectSameOrEmpty(good, good.slice(0, cut))
      }),
      { numRuns: 3000 },
    )
    assert.equal(OffsetLedger.decode(101, good).encode(), '', 'meant for another watermark')
  }
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => OffsetLedger.decode(100, text).encode() === ''))
  fc.assert(fc.property(fc.base64String(), (text) => OffsetLedger.decode(100, `1z${text}`).encode() === ''))
})

/** Base64 has characters that carry no bits at its end: changing those changes nothing. */
function expectSameOrEmpty(good: string, text: string): void {
  const read = OffsetLedger.decode(100, text).encode()
  assert.ok(read === '' || read === good, `read as another done-set: ${text}`)
}
