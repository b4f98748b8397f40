import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { CallbackConclusion, CallbackState, Callbacks } from '../callbacks.ts'
import type { Store } from '../store.ts'
import { CallbackModel } from './callback-model.ts'
import { again, callback, conclude, DELIVERED, DISABLED, GIVEN_UP, numberOf, openCallbacks } from './callback-place.ts'
import { apply, type ContractPlace, ended, succeeded, TOPIC } from './contract-place.ts'

export function callbackHistoryTests(place: () => ContractPlace): void {
  test('any history leaves the rows that the model leaves, and answers as it does', async () => {
    const concluded: string[] = []
    await fc.assert(
      fc.asyncProperty(fc.array(stepArbitrary, { minLength: 20, maxLength: 45, size: 'max' }), async (steps) => {
        const history = await History.begin(place())
        for (const step of steps) await history.take(step)
        await history.end()
        concluded.push(...history.concluded)
      }),
      { numRuns: 14, endOnFailure: true },
    )
    assert.ok(concluded.length >= 5, 'histories in which nobody is called prove nothing')
  })
}

type Step =
  | { readonly kind: 'register'; readonly task: number; readonly host: number; readonly owner: number }
  | { readonly kind: 'end'; readonly task: number; readonly generation: number }
  | { readonly kind: 'take'; readonly taker: number; readonly countMax: number; readonly perHostMax: number }
  | { readonly kind: 'conclude'; readonly pick: number; readonly then: CallbackConclusion['then'] }
  | { readonly kind: 'stray'; readonly pick: number; readonly taker: number }
  | { readonly kind: 'pass'; readonly ms: number }
  | { readonly kind: 'forget'; readonly task: number }
  | { readonly kind: 'replay'; readonly state: CallbackState | undefined }
  | { readonly kind: 'enable'; readonly host: number; readonly owner: number }
  | { readonly kind: 'read-again' }

const task = fc.nat(2)
const two = fc.nat(1)
const kind = <Kind extends Step['kind']>(name: Kind) => fc.constant(name)
const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: kind('register'), task, host: fc.nat(2), owner: two }) },
  { weight: 5, arbitrary: fc.record({ kind: kind('end'), task, generation: two }) },
  {
    weight: 7,
    arbitrary: fc.record({
      kind: kind('take'),
      taker: two,
      countMax: fc.nat(4),
      perHostMax: fc.integer({ min: 1, max: 3 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: kind('conclude'),
      pick: fc.nat(20),
      then: fc.constantFrom(DELIVERED, DELIVERED, GIVEN_UP, DISABLED, again(0), again(700), again(3_000)),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: kind('stray'), pick: fc.nat(20), taker: two }) },
  { weight: 3, arbitrary: fc.record({ kind: kind('pass'), ms: fc.constantFrom(1, 300, 1_000, 1_500) }) },
  { weight: 1, arbitrary: fc.record({ kind: kind('forget'), task }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: kind('replay'), state: fc.constantFrom(undefined, 'due', 'delivered', 'given-up') }),
  },
  { weight: 1, arbitrary: fc.record({ kind: kind('enable'), host: fc.nat(2), owner: two }) },
  { weight: 1, arbitrary: fc.record({ kind: kind('read-again') }) },
)

const OWNERS = ['anna', 'bob']

/** The same steps, at the store and in the model. */
class History {
  readonly #at: ContractPlace
  readonly #store: Store
  readonly #callbacks: Callbacks
  readonly #model = new CallbackModel()
  readonly #startMs: number
  readonly #ends: ReturnType<typeof succeeded>[] = []
  #registered = 0
  /** What came of the calls that counted. */
  readonly concluded: CallbackConclusion['then']['kind'][] = []

  private constructor(at: ContractPlace, store: Store, callbacks: Callbacks) {
    this.#at = at
    this.#store = store
    this.#callbacks = callbacks
    this.#startMs = at.clock.wallMs()
  }

  static async begin(at: ContractPlace): Promise<History> {
    const { store, callbacks } = await openCallbacks(at)
    return new History(at, store, callbacks)
  }

  async take(step: Step): Promise<void> {
    switch (step.kind) {
      case 'register': {
        const host = `h${step.host}`
        const owner = OWNERS[step.owner]!
        const row = callback(this.#at, this.#registered++, { taskId: `t${step.task}`, host, owner })
        assert.equal(await this.#callbacks.register(row), this.#model.register(row))
        return
      }
      case 'end': {
        const { generation } = step
        const result = generation === 0 ? ended(`t${step.task}`, 'dead', 'no') : succeeded(`t${step.task}`, 'x')
        // Not so old that it is swept at once.
        this.#ends.push({ ...result, generation, finishedAtMs: this.#at.clock.wallMs() })
        await apply(this.#store, this.#ends.length - 1, this.#ends.at(-1)!)
        this.#model.end(result.taskId, generation)
        return
      }
      case 'take': {
        const { countMax, perHostMax } = step
        const request = { countMax, perHostMax, leaseMs: 1_000, taker: `g${step.taker}` }
        const found = (await this.#callbacks.take(request)).map((one) => ({
          id: one.id,
          tries: one.tries,
          generation: one.generation,
          dueSinceMs: one.dueSinceMs - this.#startMs,
        }))
        const expected = this.#model.take(request)
        assert.deepEqual(
          found,
          expected.map(({ id, tries, generation, dueSinceMs }) => ({ id, tries, generation, dueSinceMs })),
        )
        return
      }
      case 'conclude': {
        const held = this.#model.rows.filter((row) => row.taker !== null)
        const row = held[step.pick % held.length]
        if (row !== undefined) await this.#conclude(numberOf(row), row.taker!, step.then)
        return
      }
      case 'stray':
        return this.#conclude(step.pick, `g${step.taker}`, DELIVERED)
      case 'pass':
        this.#at.clock.advance(step.ms)
        this.#model.nowMs += step.ms
        return
      case 'forget':
        await this.#callbacks.forget(`t${step.task}`)
        this.#model.forget(`t${step.task}`)
        return
      case 'replay': {
        const filter = step.state === undefined ? {} : { state: step.state }
        assert.equal(await this.#callbacks.replay(filter), this.#model.replay(step.state))
        return
      }
      case 'enable': {
        const receiver = [OWNERS[step.owner]!, `https://h${step.host}/hook`] as const
        assert.equal(await this.#callbacks.enable(...receiver), this.#model.enable(...receiver))
        return
      }
      case 'read-again':
        await this.#store.rebuild(TOPIC)
        if (this.#ends.length > 0) await apply(this.#store, 0, ...this.#ends)
    }
  }

  async end(): Promise<void> {
    const nextMs = await this.#callbacks.nextDueMs()
    assert.equal(nextMs === null ? null : nextMs - this.#startMs, this.#model.nextDueMs())
    const rows = (await this.#callbacks.list({})).map((one) => ({
      id: one.id,
      taskId: one.taskId,
      owner: one.owner,
      state: one.state,
      tries: one.tries,
      nextAtMs: one.nextAtMs === null ? null : one.nextAtMs - this.#startMs,
    }))
    const expected = this.#model.rows.map(({ id, taskId, owner, state, tries, wakeAtMs }) => ({
      id,
      taskId,
      owner,
      state,
      tries,
      nextAtMs: state === 'due' ? wakeAtMs : null,
    }))
    assert.deepEqual(rows, expected.reverse())
    await this.#store.close()
  }

  async #conclude(number: number, taker: string, then: CallbackConclusion['then']): Promise<void> {
    const row = callback(this.#at, number)
    const held = await conclude(this.#callbacks, number, then, { taker })
    assert.equal(held, this.#model.conclude(row.id, taker, then))
    if (held) this.concluded.push(then.kind)
  }
}
