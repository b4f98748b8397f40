import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Callbacks } from '../callbacks.ts'
import type { Store } from '../store.ts'
import { again, callback, conclude, DELIVERED, LEASE_MS, openCallbacks, states, take, taken } from './callback-place.ts'
import { apply, type ContractPlace, succeeded } from './contract-place.ts'

export function callbackLeaseTests(place: () => ContractPlace): void {
  test('what is handed out is nobody else’s until its lease has run out', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    await due(at, store, callbacks, [1])
    assert.deepEqual(await taken(callbacks), [1])
    assert.deepEqual(await taken(callbacks, { taker: 'g2' }), [])
    assert.deepEqual(await taken(callbacks), [])
    assert.equal((await callbacks.list({}))[0]?.nextAtMs, at.clock.wallMs() + LEASE_MS)
    at.clock.advance(LEASE_MS - 1)
    assert.deepEqual(await taken(callbacks, { taker: 'g2' }), [])
    at.clock.advance(1)
    assert.deepEqual(await taken(callbacks, { taker: 'g2' }), [1])
    assert.equal(await conclude(callbacks, 1, DELIVERED), false, 'lost to g2')
    assert.deepEqual(await states(callbacks), ['1 due'])
    assert.equal(await conclude(callbacks, 1, DELIVERED, { taker: 'g2' }), true)
    assert.equal(await conclude(callbacks, 1, DELIVERED, { taker: 'g2' }), false, 'concluded already')
    await store.close()
  })

  test('a conclusion after the lease still counts where nobody else has taken it', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    await due(at, store, callbacks, [1])
    await take(callbacks)
    at.clock.advance(LEASE_MS * 3)
    assert.equal(await conclude(callbacks, 1, DELIVERED, { taker: 'g2' }), false)
    assert.equal(await conclude(callbacks, 1, DELIVERED), true)
    assert.deepEqual(await taken(callbacks, { taker: 'g2' }), [])
    await store.close()
  })

  test('takers at one moment get each row once', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    const numbers = Array.from({ length: 60 }, (_, n) => n)
    await due(at, store, callbacks, numbers)
    const takers = Array.from({ length: 6 }, (_, n) => taken(callbacks, { taker: `g${n}`, countMax: 20 }))
    const rest = await taken(callbacks, { taker: 'rest' })
    const all = [...(await Promise.all(takers)).flat(), ...rest, ...(await taken(callbacks))]
    assert.deepEqual(
      all.sort((a, b) => a - b),
      numbers,
    )
    await store.close()
  })

  test('the longest due come first, no more than asked for', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    for (const n of [3, 1, 2, 5, 4]) {
      await due(at, store, callbacks, [n])
      at.clock.advance(10)
    }
    assert.deepEqual(await taken(callbacks, { countMax: 0 }), [])
    assert.deepEqual(await taken(callbacks, { countMax: 2 }), [3, 1])
    await conclude(callbacks, 3, again(0))
    assert.deepEqual(await taken(callbacks, { countMax: 10 }), [2, 5, 4, 3])
    await store.close()
  })

  test('a host gets no more than its share, those that are handed out counted, and others come all the same', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    const dead = Array.from({ length: 300 }, (_, n) => n)
    await due(at, store, callbacks, dead, 'dead.example:443')
    at.clock.advance(10)
    await due(at, store, callbacks, [1_000, 1_001, 1_002], 'live.example:443')
    at.clock.advance(10)
    await due(at, store, callbacks, [2_000], 'live.example:8443')
    assert.deepEqual(await taken(callbacks, { perHostMax: 2 }), [0, 1, 1_000, 1_001, 2_000])
    assert.deepEqual(await taken(callbacks, { perHostMax: 2, taker: 'g2' }), [])
    assert.ok((await callbacks.nextDueMs())! < at.clock.wallMs(), 'there is more')
    await conclude(callbacks, 1_000, DELIVERED)
    assert.deepEqual(await taken(callbacks, { perHostMax: 2, taker: 'g2' }), [1_002])
    assert.deepEqual(await taken(callbacks, { perHostMax: 4, taker: 'g2' }), [2, 3])
    at.clock.advance(LEASE_MS)
    assert.equal((await taken(callbacks, { perHostMax: 3, taker: 'g3' })).filter((n) => n < 300).length, 3)
    await store.close()
  })

  test('a limit on all counts before that of a host: the longest due of all hosts', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    for (const n of [1, 2, 3, 4, 5, 6]) {
      await due(at, store, callbacks, [n], n % 2 === 0 ? 'even.example:443' : 'odd.example:443')
      at.clock.advance(1)
    }
    assert.deepEqual(await taken(callbacks, { countMax: 3, perHostMax: 2 }), [1, 2, 3])
    assert.deepEqual(await taken(callbacks, { countMax: 3, perHostMax: 2 }), [4])
    await store.close()
  })

  test('the next moment is that of what is not handed out', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    await due(at, store, callbacks, [1, 2, 3])
    const startMs = at.clock.wallMs()
    assert.equal(await callbacks.nextDueMs(), startMs)
    await take(callbacks)
    assert.equal(await callbacks.nextDueMs(), null)
    await conclude(callbacks, 1, again(9_000))
    await conclude(callbacks, 2, again(8_000))
    assert.equal(await callbacks.nextDueMs(), startMs + 8_000)
    at.clock.advance(LEASE_MS)
    assert.equal(await callbacks.nextDueMs(), startMs + LEASE_MS, 'a lease that has run out')
    await take(callbacks)
    assert.equal(await callbacks.nextDueMs(), startMs + 8_000)
    await store.close()
  })

  test('leases and waits hold across reopening', async () => {
    const at = place()
    let { store, callbacks } = await openCallbacks(at)
    await due(at, store, callbacks, [1, 2])
    await take(callbacks)
    await conclude(callbacks, 2, again(LEASE_MS * 2))
    await store.close()
    ;({ store, callbacks } = await openCallbacks(at))
    assert.deepEqual(await taken(callbacks, { taker: 'g2' }), [])
    at.clock.advance(LEASE_MS)
    assert.deepEqual(await taken(callbacks, { taker: 'g2' }), [1])
    at.clock.advance(LEASE_MS)
    assert.deepEqual(await taken(callbacks, { taker: 'g3' }), [1, 2])
    await store.close()
  })
}

/** Rows whose tasks have ended just now. */
async function due(
  at: ContractPlace,
  store: Store,
  callbacks: Callbacks,
  numbers: readonly number[],
  host?: string,
): Promise<void> {
  const change = host === undefined ? {} : { host }
  await Promise.all(numbers.map((n) => callbacks.register(callback(at, n, change))))
  const from = (await store.positions('results')).get(0) ?? 0
  await apply(store, from, ...numbers.map((n) => succeeded(`t${n}`, 'x')))
}
