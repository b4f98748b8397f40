import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CALLBACKS_PER_TASK_MAX } from '../callbacks.ts'
import { callback, conclude, DELIVERED, DISABLED, idOf, openCallbacks, states, take, taken } from './callback-place.ts'
import { apply, type ContractPlace, succeeded } from './contract-place.ts'

export function callbackRegisterTests(place: () => ContractPlace): void {
  test('what was registered waits, and is listed as it was given, also after reopening', async () => {
    const at = place()
    let { store, callbacks } = await openCallbacks(at)
    const unusual = callback(at, 1, {
      taskId: 'kø/\u{1f980}',
      owner: '',
      queue: 'ä',
      url: 'https://ä.example/\u{1f980}',
    })
    assert.equal(await callbacks.register(unusual), 'registered')
    const changedAtMs = at.clock.wallMs()
    await store.close()
    ;({ store, callbacks } = await openCallbacks(at))
    assert.deepEqual(await callbacks.list({}), [
      { ...unusual, state: 'waiting', tries: 0, nextAtMs: null, changedAtMs, taskState: null, attempts: [] },
    ])
    assert.deepEqual(await take(callbacks), [])
    assert.equal(await callbacks.nextDueMs(), null)
    await store.close()
  })

  test('the same task and URL twice is one row: the first id, the later of both ends', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    const first = callback(at, 1)
    await callbacks.register(first)
    const { keepUntilMs } = first
    assert.equal(await callbacks.register({ ...first, id: idOf(2), keepUntilMs: keepUntilMs + 5 }), 'known')
    assert.equal(await callbacks.register({ ...first, id: idOf(3), keepUntilMs: keepUntilMs - 5 }), 'known')
    const listed = await callbacks.list({})
    assert.deepEqual(
      listed.map((one) => [one.id, one.keepUntilMs]),
      [[first.id, keepUntilMs + 5]],
    )
    assert.equal(await callbacks.register({ ...first, id: idOf(4), url: `${first.url}/other` }), 'registered')
    assert.equal(await callbacks.register({ ...first, id: idOf(5), taskId: 'other' }), 'registered')
    await store.close()
  })

  test('what is known keeps its state: registering again calls nobody twice', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    await callbacks.register(callback(at, 1))
    await apply(store, 0, succeeded('t1', 'x'))
    assert.equal(await callbacks.register(callback(at, 1)), 'known')
    assert.deepEqual(await taken(callbacks), [1])
    await conclude(callbacks, 1, DELIVERED)
    assert.equal(await callbacks.register(callback(at, 1)), 'known')
    assert.deepEqual(await taken(callbacks), [])
    assert.deepEqual(await states(callbacks), ['1 delivered'])
    await store.close()
  })

  test('registrations of one moment are one row', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    const asked = Array.from({ length: 8 }, (_, n) => callbacks.register({ ...callback(at, 1), id: idOf(n) }))
    assert.deepEqual((await Promise.all(asked)).sort(), [...Array(7).fill('known'), 'registered'])
    assert.equal((await callbacks.list({})).length, 1)
    await store.close()
  })

  test('a task has no more callbacks than it may have, also when all come at once', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    const ofTask = (number: number) => callback(at, number, { taskId: 't' })
    const all = Array.from({ length: CALLBACKS_PER_TASK_MAX + 4 }, (_, n) => ofTask(n))
    const outcomes = await Promise.all(all.map((one) => callbacks.register(one)))
    assert.equal(outcomes.filter((one) => one === 'registered').length, CALLBACKS_PER_TASK_MAX)
    assert.equal(outcomes.filter((one) => one === 'full').length, 4)
    const kept = all[outcomes.indexOf('registered')]!
    assert.equal(await callbacks.register(kept), 'known', 'one that is there needs no room')
    assert.equal(await callbacks.register(callback(at, 50, { taskId: 'other' })), 'registered')
    await store.close()
  })

  test('what waits for a task that was not kept is forgotten, and the task id can be used again', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    await callbacks.register(callback(at, 1, { taskId: 't' }))
    await callbacks.register(callback(at, 2, { taskId: 't' }))
    await callbacks.register(callback(at, 3))
    await callbacks.forget('t')
    await callbacks.forget('nobody')
    assert.deepEqual(await states(callbacks), ['3 waiting'])
    await apply(store, 0, succeeded('t', 'x'))
    assert.deepEqual(await taken(callbacks), [])
    assert.equal(await callbacks.register(callback(at, 4, { taskId: 't' })), 'registered')
    assert.deepEqual(await taken(callbacks), [4])
    await callbacks.forget('t')
    assert.deepEqual(await states(callbacks), ['4 due', '3 waiting'])
    await store.close()
  })

  test('a receiver that has said 410 to an owner takes no more registrations of that owner', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    const { url, host } = callback(at, 1)
    await callbacks.register(callback(at, 1))
    await apply(store, 0, succeeded('t1', 'x'))
    await take(callbacks)
    await conclude(callbacks, 1, DISABLED)
    assert.equal(await callbacks.register(callback(at, 2, { url, host })), 'disabled')
    assert.equal(await callbacks.register(callback(at, 1)), 'disabled', 'also one that is there')
    assert.equal(await callbacks.register(callback(at, 3, { url, host, owner: 'bob' })), 'registered')
    assert.equal(await callbacks.register(callback(at, 4, { url: `${url}/other`, host })), 'registered')
    await store.close()
  })

  test('what is not open says so', async () => {
    const at = place()
    const store = at.connect()
    await assert.rejects(store.callbacks!.register(callback(at, 1)), { code: 'CLOSED' })
    await store.open()
    await store.close()
    await assert.rejects(store.callbacks!.nextDueMs(), { code: 'CLOSED' })
    await assert.rejects(store.callbacks!.list({}), { code: 'CLOSED' })
  })
}
