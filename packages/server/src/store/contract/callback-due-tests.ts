import assert from 'node:assert/strict'
import { test } from 'node:test'
import { again, callback, conclude, DELIVERED, GIVEN_UP, openCallbacks, states, take, taken } from './callback-place.ts'
import { apply, type ContractPlace, ended, note, succeeded, TOPIC } from './contract-place.ts'

export function callbackDueTests(place: () => ContractPlace): void {
  test('the first result makes it due: whose, when and what life it ended', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    const mine = callback(at, 1)
    await callbacks.register(mine)
    await callbacks.register(callback(at, 2))
    at.clock.advance(1_000)
    await apply(store, 0, note('t1', 'running', 1), note('t2', 'retrying', 1))
    assert.deepEqual(await take(callbacks), [])
    await apply(store, 2, ended('t1', 'failed', 'no'), succeeded('t1', 'second'))
    const dueSinceMs = at.clock.wallMs()
    assert.equal(await callbacks.nextDueMs(), dueSinceMs)
    const [view] = await callbacks.list({ id: mine.id })
    assert.deepEqual(view, {
      ...mine,
      state: 'due',
      tries: 0,
      nextAtMs: dueSinceMs,
      changedAtMs: dueSinceMs,
      taskState: 'failed',
      attempts: [],
    })
    at.clock.advance(500)
    assert.deepEqual(await take(callbacks), [{ ...mine, tries: 0, dueSinceMs, generation: 0 }])
    await store.close()
  })

  for (const state of ['succeeded', 'failed', 'dead', 'cancelled', 'expired'] as const) {
    test(`a task that ends ${state} is told`, async () => {
      const at = place()
      const { store, callbacks } = await openCallbacks(at)
      await callbacks.register(callback(at, 1))
      await apply(store, 0, state === 'succeeded' ? succeeded('t1', 'x') : ended('t1', state, 'no'))
      assert.deepEqual(await taken(callbacks), [1])
      assert.equal((await callbacks.list({}))[0]?.taskState, state)
      await store.close()
    })
  }

  test('one that is registered when the task has ended is due at once, also where others are registered already', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    await apply(store, 0, ended('t1', 'dead', 'no'), note('t2', 'running', 1))
    await callbacks.register(callback(at, 1))
    await callbacks.register(callback(at, 2))
    await callbacks.register(callback(at, 3, { taskId: 't1' }))
    assert.deepEqual(await states(callbacks), ['3 due', '2 waiting', '1 due'])
    assert.equal((await callbacks.list({ taskId: 't1' }))[0]?.taskState, 'dead')
    assert.deepEqual(await taken(callbacks), [1, 3])
    await store.close()
  })

  test('one that is registered when a dead task lives again waits for the end of that life', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    await apply(store, 0, ended('t1', 'dead', 'no'), { ...note('t1', 'pending', 0), generation: 1 })
    await callbacks.register(callback(at, 1))
    assert.deepEqual(await states(callbacks), ['1 waiting'])
    await apply(store, 2, succeeded('t1', 'late'))
    assert.deepEqual(await states(callbacks), ['1 waiting'])
    await apply(store, 3, { ...succeeded('t1', 'x'), generation: 1 })
    assert.deepEqual(
      (await take(callbacks)).map((one) => one.generation),
      [1],
    )
    await store.close()
  })

  test('of a registration and a result at one moment, whichever comes later sees the other', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    const numbers = Array.from({ length: 40 }, (_, n) => n)
    await Promise.all(
      numbers.flatMap((n) => {
        const registered = () => callbacks.register(callback(at, n))
        const applied = () => apply(store, n, succeeded(`t${n}`, 'x'))
        return n % 2 === 0 ? [registered(), applied()] : [applied(), registered()]
      }),
    )
    assert.deepEqual(
      [...(await taken(callbacks))].sort((a, b) => a - b),
      numbers,
    )
    await store.close()
  })

  test('a second result of the same life, and the same result read again, make nothing due', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    await callbacks.register(callback(at, 1))
    await apply(store, 0, succeeded('t1', 'x'))
    await take(callbacks)
    await conclude(callbacks, 1, DELIVERED)
    await apply(store, 1, succeeded('t1', 'again'))
    await apply(store, 0, succeeded('t1', 'x'))
    assert.deepEqual(await states(callbacks), ['1 delivered'])
    await store.close()
  })

  const befores = [
    ['was delivered', DELIVERED],
    ['was given up', GIVEN_UP],
    ['waits for its next try', again(60_000)],
  ] as const
  for (const [name, then] of befores) {
    test(`the end of a later life makes one due anew that ${name}`, async () => {
      const at = place()
      const { store, callbacks } = await openCallbacks(at)
      await callbacks.register(callback(at, 1))
      await apply(store, 0, ended('t1', 'dead', 'no'))
      await take(callbacks)
      await conclude(callbacks, 1, then)
      await apply(store, 1, { ...note('t1', 'pending', 0), generation: 1 })
      at.clock.advance(10)
      assert.deepEqual(await taken(callbacks), [])
      await apply(store, 2, { ...succeeded('t1', 'at last'), generation: 1 })
      const [due] = await take(callbacks)
      assert.deepEqual([due?.generation, due?.tries, due?.dueSinceMs], [1, 0, at.clock.wallMs()])
      const [view] = await callbacks.list({})
      assert.deepEqual([view?.taskState, view?.attempts.length], ['succeeded', 1])
      await store.close()
    })
  }

  test('the end of a later life takes one back that is handed out: its call told of the life before', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    await callbacks.register(callback(at, 1))
    await apply(store, 0, ended('t1', 'dead', 'no'))
    await take(callbacks)
    await apply(store, 1, { ...succeeded('t1', 'x'), generation: 1 })
    assert.equal(await conclude(callbacks, 1, DELIVERED), false)
    const [due] = await take(callbacks, { taker: 'g2' })
    assert.equal(due?.generation, 1)
    assert.equal(await conclude(callbacks, 1, DELIVERED, { taker: 'g2' }), true)
    await store.close()
  })

  test('a rebuild leaves callbacks alone, and reading the log again makes none due anew', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    for (const n of [1, 2, 3]) await callbacks.register(callback(at, n))
    const facts = [ended('t1', 'dead', 'no'), succeeded('t2', 'x'), { ...succeeded('t1', 'x'), generation: 1 }]
    await apply(store, 0, ...facts)
    await take(callbacks)
    await conclude(callbacks, 1, DELIVERED)
    await conclude(callbacks, 2, again(60_000))
    const before = await callbacks.list({})
    await store.rebuild(TOPIC)
    assert.deepEqual(await callbacks.list({}), before)
    for (const [offset, fact] of facts.entries()) await apply(store, offset, fact)
    assert.deepEqual(await callbacks.list({}), before)
    await apply(store, 3, succeeded('t3', 'x'))
    assert.deepEqual(await taken(callbacks), [3])
    await store.close()
  })

  test('a result in a batch that is refused makes nothing due', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    await callbacks.register(callback(at, 1))
    await apply(store, 0, note('t1', 'running', 1))
    const entries = [{ kind: 'result', offset: 5, result: succeeded('t1', 'x') }] as const
    const report = await store.apply({ topic: TOPIC, partition: 0, from: 5, next: 6, entries })
    assert.equal(report.kind, 'behind')
    assert.deepEqual(await states(callbacks), ['1 waiting'])
    await store.close()
  })

  test('of a large batch exactly those are due that somebody waits for, all callbacks of a task', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    await callbacks.register(callback(at, 7))
    await callbacks.register(callback(at, 8, { taskId: 't7' }))
    await callbacks.register(callback(at, 499))
    await callbacks.register(callback(at, 5_000))
    await apply(store, 0, ...Array.from({ length: 500 }, (_, n) => succeeded(`t${n}`, 'x')))
    assert.deepEqual(await taken(callbacks), [7, 8, 499])
    assert.deepEqual(await states(callbacks, { state: 'waiting' }), ['5000 waiting'])
    await store.close()
  })
}
