import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { CALLBACK_DISABLED_KEPT_MS } from '../callbacks.ts'
import { callback, conclude, DELIVERED, DISABLED, GIVEN_UP, openCallbacks, states, take } from './callback-place.ts'
import { apply, type ContractPlace, RETENTION_MS, succeeded } from './contract-place.ts'

export function callbackRetentionTests(place: () => ContractPlace): void {
  test('what waits or is due goes when it need not be kept any more, however young', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    const keepUntilMs = at.clock.wallMs() + 10 * RETENTION_MS
    for (const n of [1, 2]) await callbacks.register(callback(at, n, { keepUntilMs }))
    await callbacks.register(callback(at, 3, { keepUntilMs: keepUntilMs + 100 * RETENTION_MS }))
    await apply(store, 0, succeeded('t2', 'x', at.clock.wallMs()))
    at.clock.advance(9 * RETENTION_MS)
    await sweeps(at, async () => (await store.get('t2')) === null)
    assert.equal((await callbacks.list({})).length, 3)
    at.clock.advance(1.5 * RETENTION_MS)
    await sweeps(at, async () => (await callbacks.list({})).length === 1)
    assert.deepEqual(await states(callbacks), ['3 waiting'])
    await store.close()
  })

  test('what was delivered or given up goes the retention after that', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    for (const n of [1, 2, 3, 4]) await callbacks.register(callback(at, n))
    await apply(store, 0, ...[1, 2, 3].map((n) => succeeded(`t${n}`, 'x')))
    at.clock.advance(RETENTION_MS)
    await take(callbacks)
    await conclude(callbacks, 1, DELIVERED)
    await conclude(callbacks, 2, GIVEN_UP)
    at.clock.advance(RETENTION_MS / 2)
    await conclude(callbacks, 3, DELIVERED)
    assert.deepEqual(await states(callbacks), ['4 waiting', '3 delivered', '2 given-up', '1 delivered'])
    at.clock.advance(RETENTION_MS / 2 + 1)
    await sweeps(at, async () => (await callbacks.list({})).length <= 2)
    assert.deepEqual(await states(callbacks), ['4 waiting', '3 delivered'])
    at.clock.advance(RETENTION_MS / 2)
    await sweeps(at, async () => (await callbacks.list({})).length <= 1)
    assert.deepEqual(await states(callbacks), ['4 waiting'])
    await store.close()
  })

  test('that a receiver has said 410 is forgotten after a long time', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    const { url, host } = callback(at, 1)
    await callbacks.register(callback(at, 1))
    await apply(store, 0, succeeded('t1', 'x'))
    await take(callbacks)
    await conclude(callbacks, 1, DISABLED)
    at.clock.advance(CALLBACK_DISABLED_KEPT_MS - RETENTION_MS)
    assert.equal(await callbacks.register(callback(at, 2, { url, host })), 'disabled')
    at.clock.advance(RETENTION_MS + 1)
    await sweeps(at, async () => (await callbacks.register(callback(at, 3, { url, host }))) !== 'disabled')
    await store.close()
  })
}

/** The sweep runs beside the calls: gives it time until it has come by. */
async function sweeps(at: ContractPlace, done: () => Promise<boolean>): Promise<void> {
  while (!(await done())) {
    at.clock.advance(at.options.sweepIntervalMs)
    await sleep(1)
  }
}
