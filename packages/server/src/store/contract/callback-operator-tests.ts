import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CALLBACKS_LISTED_DEFAULT, CALLBACKS_LISTED_MAX } from '../callbacks.ts'
import {
  again,
  callback,
  conclude,
  DELIVERED,
  DISABLED,
  GIVEN_UP,
  idOf,
  numberOf,
  openCallbacks,
  states,
  take,
  taken,
} from './callback-place.ts'
import { apply, type ContractPlace, ended, succeeded } from './contract-place.ts'

export function callbackOperatorTests(place: () => ContractPlace): void {
  test('a list is what its filter names, the youngest first', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    const url = 'https://one.example/hook'
    await callbacks.register(callback(at, 1, { owner: 'bob' }))
    await callbacks.register(callback(at, 2, { queue: 'mails' }))
    await callbacks.register(callback(at, 3, { url }))
    await callbacks.register(callback(at, 4, { taskId: 't3' }))
    at.clock.advance(1_000)
    await apply(store, 0, succeeded('t3', 'x'))
    assert.deepEqual(await states(callbacks), ['4 due', '3 due', '2 waiting', '1 waiting'])
    assert.deepEqual(await states(callbacks, { taskId: 't3' }), ['4 due', '3 due'])
    assert.deepEqual(await states(callbacks, { id: idOf(2) }), ['2 waiting'])
    assert.deepEqual(await states(callbacks, { owner: 'bob' }), ['1 waiting'])
    assert.deepEqual(await states(callbacks, { queue: 'mails' }), ['2 waiting'])
    assert.deepEqual(await states(callbacks, { url }), ['3 due'])
    assert.deepEqual(await states(callbacks, { state: 'waiting' }), ['2 waiting', '1 waiting'])
    assert.deepEqual(await states(callbacks, { sinceMs: at.clock.wallMs() }), ['4 due', '3 due'])
    assert.deepEqual(await states(callbacks, { sinceMs: at.clock.wallMs() + 1 }), [])
    assert.deepEqual(await states(callbacks, { state: 'due', countMax: 1 }), ['4 due'])
    assert.deepEqual(await states(callbacks, { taskId: 't3', owner: 'bob' }), [])
    await store.close()
  })

  test('a list has a hundred unless more are asked for, and never more than a thousand', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    const numbers = Array.from({ length: CALLBACKS_LISTED_MAX + 5 }, (_, n) => n)
    await Promise.all(numbers.map((n) => callbacks.register(callback(at, n))))
    assert.equal((await callbacks.list({})).length, CALLBACKS_LISTED_DEFAULT)
    assert.equal((await callbacks.list({ countMax: 5_000 })).length, CALLBACKS_LISTED_MAX)
    assert.equal((await callbacks.list({ countMax: 3 })).length, 3)
    await store.close()
  })

  test('a replay makes due at once what was delivered, given up or has to wait, its tries counted anew', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    for (const n of [1, 2, 3, 4, 5]) await callbacks.register(callback(at, n))
    await apply(store, 0, ...[1, 2, 3, 5].map((n) => succeeded(`t${n}`, 'x')))
    await take(callbacks)
    await conclude(callbacks, 1, DELIVERED)
    await conclude(callbacks, 2, GIVEN_UP)
    await conclude(callbacks, 3, again(60_000))
    at.clock.advance(100)
    assert.equal(await callbacks.replay({}), 3, 'all but what waits for its task and what is being called')
    const replayed = await take(callbacks, { taker: 'g2' })
    assert.deepEqual(replayed.map(numberOf).sort(), [1, 2, 3])
    for (const one of replayed) assert.deepEqual([one.tries, one.dueSinceMs], [0, at.clock.wallMs()])
    const [first] = await callbacks.list({ id: idOf(1) })
    assert.deepEqual([first?.attempts.length, first?.changedAtMs], [1, at.clock.wallMs()])
    assert.equal(await conclude(callbacks, 5, DELIVERED), true)
    await store.close()
  })

  test('a replay takes what its filter names, no more than it may', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    for (const n of [1, 2, 3, 4]) await callbacks.register(callback(at, n, { queue: n < 4 ? 'orders' : 'mails' }))
    await apply(store, 0, ...[1, 2, 3, 4].map((n) => succeeded(`t${n}`, 'x')))
    await take(callbacks)
    for (const n of [1, 2, 3]) await conclude(callbacks, n, GIVEN_UP)
    await conclude(callbacks, 4, DELIVERED)
    assert.equal(await callbacks.replay({ state: 'given-up', queue: 'mails' }), 0)
    assert.equal(await callbacks.replay({ state: 'given-up', countMax: 2 }), 2)
    assert.deepEqual(await states(callbacks), ['4 delivered', '3 due', '2 due', '1 given-up'])
    assert.equal(await callbacks.replay({ id: idOf(4) }), 1)
    assert.equal(await callbacks.replay({ id: idOf(9) }), 0)
    assert.deepEqual([...(await taken(callbacks))].sort(), [2, 3, 4])
    await store.close()
  })

  test('enabling brings back what was disabled: due where the task has ended, waiting where not', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    const { url, host } = callback(at, 1)
    for (const one of [callback(at, 1), callback(at, 2, { url, host }), callback(at, 3, { url, host })]) {
      await callbacks.register(one)
    }
    await apply(store, 0, ended('t1', 'failed', 'no'))
    await take(callbacks)
    await conclude(callbacks, 1, DISABLED)
    await apply(store, 1, succeeded('t2', 'x'))
    assert.equal(await callbacks.replay({}), 0, 'what is disabled stays so')
    assert.equal(await callbacks.enable('bob', url), false)
    assert.equal(await callbacks.enable('anna', `${url}/other`), false)
    at.clock.advance(100)
    assert.equal(await callbacks.enable('anna', url), true)
    assert.equal(await callbacks.enable('anna', url), false)
    assert.deepEqual(await states(callbacks), ['3 waiting', '2 due', '1 due'])
    const due = await take(callbacks)
    for (const one of due) assert.deepEqual([one.tries, one.dueSinceMs], [0, at.clock.wallMs()])
    assert.deepEqual(due.map(numberOf).sort(), [1, 2])
    assert.equal((await callbacks.list({ taskId: 't2' }))[0]?.taskState, 'succeeded')
    assert.equal(await callbacks.register(callback(at, 4, { url, host })), 'registered')
    await apply(store, 2, succeeded('t3', 'x'))
    assert.deepEqual(await taken(callbacks), [3])
    await store.close()
  })
}
