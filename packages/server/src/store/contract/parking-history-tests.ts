import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Owned, ParkedRow, Parking, RowToPark, Wish } from '../parking.ts'
import type { Store } from '../store.ts'
import type { ContractPlace } from './contract-place.ts'
import { type ModelRow, ParkingModel } from './parking-model.ts'
import { assertFenced, EVERYTHING, openParking, row } from './parking-place.ts'

export function parkingHistoryTests(place: () => ContractPlace): void {
  test('any history of owners, rows, time and operators goes as the model says', async () => {
    const at = place()
    const opened = await openParking(at)
    let run = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        run += 1
        const history = new History(at, opened, `q${run}`)
        await history.begin()
        for (const one of steps) await history.take(one)
        await history.compare()
      }),
      { numRuns: 100 },
    )
    await opened.store.close()
  })
}

/** One queue of two partitions, in the store and in the model. */
class History {
  readonly #at: ContractPlace
  readonly #queue: string
  readonly #model = new ParkingModel()
  /** By partition: the owner, and those before it. */
  readonly #owners: Owned[][] = [[], []]
  /** The one all histories share; reopening replaces what is in it. */
  readonly #opened: { store: Store; parking: Parking }

  constructor(at: ContractPlace, opened: { store: Store; parking: Parking }, queue: string) {
    this.#at = at
    this.#opened = opened
    this.#queue = queue
  }

  async begin(): Promise<void> {
    for (const partition of PARTITIONS) await this.#own(partition)
  }

  async take(step: Step): Promise<void> {
    const { parking } = this.#opened
    const { partition } = step
    const owned = this.#owners[partition]!.at(-1)!
    switch (step.act) {
      case 'own':
        return this.#own(partition)
      case 'park': {
        const rows = step.rows.map(rowOf)
        await parking.park(owned, rows)
        return this.#model.park(partition, rows)
      }
      case 'take':
        return this.#take(step.partition === 0 ? PARTITIONS : [1], step.count)
      case 'takeLine': {
        const rows = await parking.takeLine(owned, step.line, step.count)
        return assertRows(rows, this.#model.takeLine(partition, step.line, step.count))
      }
      case 'remove':
        await parking.remove(owned, step.offsets)
        return this.#model.remove(partition, step.offsets)
      case 'drop': {
        const taskIds = step.offsets.map((offset) => `t${offset}`)
        const dropped = await parking.drop(owned, taskIds)
        return assert.deepEqual([...dropped].sort(), this.#model.drop(partition, taskIds))
      }
      case 'wish': {
        const taskId = `t${step.offset}`
        return assert.equal(await parking.wish(this.#queue, taskId, step.wish), this.#model.wish(taskId, step.wish))
      }
      case 'wait':
        this.#at.clock.advance(step.ms)
        this.#model.nowMs += step.ms
        return
      case 'earlier':
        return this.#fence(partition)
      case 'reopen':
        await this.#opened.store.close()
        Object.assign(this.#opened, await openParking(this.#at))
    }
  }

  /** Everything is there and nothing else: rows, and who has taken them. */
  async compare(): Promise<void> {
    const { rows, total } = await this.#opened.parking.list({ queue: this.#queue, limit: EVERYTHING })
    assert.equal(total, this.#model.size)
    const said = rows.map((one) => `${one.partition}/${one.offset} ${one.taskId} ${one.line} ${one.wish}`).sort()
    const all = PARTITIONS.flatMap((partition) => this.#model.rowsOf(partition))
    assert.deepEqual(
      said,
      all.map((one) => `${one.partition}/${one.offset} ${one.taskId} ${one.line} ${one.wish}`).sort(),
    )
    await this.#take(PARTITIONS, EVERYTHING)
    for (const partition of PARTITIONS) {
      for (const line of LINES) {
        const owned = this.#owners[partition]!.at(-1)!
        const rest = await this.#opened.parking.takeLine(owned, line, EVERYTHING)
        assertRows(rest, this.#model.takeLine(partition, line, EVERYTHING))
      }
    }
  }

  async #own(partition: number): Promise<void> {
    const { epoch, lines } = await this.#opened.parking.own(this.#queue, partition)
    this.#owners[partition]!.push({ queue: this.#queue, partition, epoch })
    assert.deepEqual([...lines].sort(), this.#model.own(partition, epoch))
  }

  /** Rows that wake at the same moment may come in any order. */
  async #take(partitions: readonly number[], count: number): Promise<void> {
    const owned = partitions.map((partition) => this.#owners[partition]!.at(-1)!)
    const taken = await this.#opened.parking.take(this.#queue, owned, count)
    const due = this.#model.due(partitions)
    const found = taken.rows.map((one) => due.find((row) => nameOf(one) === `${row.partition}/${row.offset}`))
    assert.ok(!found.includes(undefined), 'only what is due comes')
    const rows = found as ModelRow[]
    assert.equal(new Set(rows).size, rows.length)
    const moments = (some: readonly ModelRow[]) => some.map((row) => this.#model.wakesAtMs(row))
    assert.deepEqual(moments(rows), moments(due.slice(0, count)), 'the earliest, as many as asked for')
    for (const row of rows) row.taken = true
    assert.equal(taken.nextInMs, this.#model.nextInMs(partitions))
  }

  async #fence(partition: number): Promise<void> {
    const earlier = this.#owners[partition]!.at(-2)
    if (earlier === undefined) return
    assert.equal(this.#model.owns(earlier), false)
    await assertFenced(this.#opened.parking.park(earlier, [row(1)]))
    await assertFenced(this.#opened.parking.remove(earlier, [1, 2, 3]))
    assert.deepEqual(await this.#opened.parking.take(this.#queue, [earlier], 10), { rows: [], nextInMs: null })
    assert.deepEqual(await this.#opened.parking.drop(earlier, ['t1', 't2']), [])
  }
}

const PARTITIONS = [0, 1]
const LINES = ['a', 'b']
const OFFSETS = 12

interface GivenRow {
  readonly offset: number
  readonly line: string | null
  readonly reason: RowToPark['reason']
  readonly dueInMs: number | null
  readonly deadlineInMs: number
}

type Step = { readonly partition: number } & (
  | { readonly act: 'own' | 'earlier' | 'reopen' }
  | { readonly act: 'park'; readonly rows: readonly GivenRow[] }
  | { readonly act: 'take'; readonly count: number }
  | { readonly act: 'takeLine'; readonly line: string; readonly count: number }
  | { readonly act: 'remove' | 'drop'; readonly offsets: readonly number[] }
  | { readonly act: 'wish'; readonly offset: number; readonly wish: Wish }
  | { readonly act: 'wait'; readonly ms: number }
)

const partition = fc.constantFrom(...PARTITIONS)
const offset = fc.nat(OFFSETS - 1)
const count = fc.nat(4)
const givenRow: fc.Arbitrary<GivenRow> = fc.record({
  offset,
  line: fc.constantFrom(null, ...LINES),
  reason: fc.constantFrom('behind' as const, 'backoff' as const, 'exhausted' as const),
  dueInMs: fc.option(fc.integer({ min: 0, max: 100 })),
  deadlineInMs: fc.integer({ min: 50, max: 400 }),
})
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ partition, act: fc.constant('own' as const) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      partition,
      act: fc.constant('park' as const),
      rows: fc.uniqueArray(givenRow, { minLength: 1, maxLength: 5, selector: (one) => one.offset }),
    }),
  },
  { weight: 5, arbitrary: fc.record({ partition, act: fc.constant('take' as const), count }) },
  {
    weight: 3,
    arbitrary: fc.record({ partition, act: fc.constant('takeLine' as const), line: fc.constantFrom(...LINES), count }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      partition,
      act: fc.constantFrom('remove' as const, 'drop' as const),
      offsets: fc.array(offset, { maxLength: 4 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      partition,
      act: fc.constant('wish' as const),
      offset,
      wish: fc.constantFrom('retry' as const, 'release' as const, 'skip' as const),
    }),
  },
  { weight: 4, arbitrary: fc.record({ partition, act: fc.constant('wait' as const), ms: fc.nat(120) }) },
  { weight: 1, arbitrary: fc.record({ partition, act: fc.constantFrom('earlier' as const, 'reopen' as const) }) },
)

function rowOf({ offset, ...given }: GivenRow): RowToPark {
  return row(offset, given)
}

function nameOf({ partition, record }: ParkedRow): string {
  return `${partition}/${record.offset}`
}

function assertRows(rows: readonly ParkedRow[], expected: readonly ModelRow[]): void {
  assert.deepEqual(
    rows.map(nameOf),
    expected.map((one) => `${one.partition}/${one.offset}`),
  )
}
