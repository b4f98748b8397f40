import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CALLBACK_ATTEMPTS_KEPT, type Callbacks } from '../callbacks.ts'
import type { Store } from '../store.ts'
import {
  again,
  callback,
  conclude,
  DELIVERED,
  DISABLED,
  GIVEN_UP,
  LEASE_MS,
  openCallbacks,
  states,
  take,
  taken,
} from './callback-place.ts'
import { apply, type ContractPlace, succeeded } from './contract-place.ts'

export function callbackConclusionTests(place: () => ContractPlace): void {
  test('what was delivered or given up is due no more', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    await endAll(at, store, callbacks, [1, 2])
    at.clock.advance(100)
    await take(callbacks)
    assert.equal(await conclude(callbacks, 1, DELIVERED), true)
    assert.equal(await conclude(callbacks, 2, GIVEN_UP), true)
    at.clock.advance(LEASE_MS)
    assert.deepEqual(await taken(callbacks), [])
    assert.equal(await callbacks.nextDueMs(), null)
    assert.deepEqual(await states(callbacks), ['2 given-up', '1 delivered'])
    const changed = (await callbacks.list({})).map((one) => [one.changedAtMs, one.nextAtMs, one.tries])
    const atMs = at.clock.wallMs() - LEASE_MS
    assert.deepEqual(changed, [
      [atMs, null, 1],
      [atMs, null, 1],
    ])
    await store.close()
  })

  test('one that is to be called again is due when its time has come, its tries counted', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    await endAll(at, store, callbacks, [1])
    const dueSinceMs = at.clock.wallMs()
    for (const tries of [0, 1, 2]) {
      const [row] = await take(callbacks)
      assert.deepEqual([row?.tries, row?.dueSinceMs], [tries, dueSinceMs])
      await conclude(callbacks, 1, again(60_000))
      assert.equal((await callbacks.list({}))[0]?.nextAtMs, at.clock.wallMs() + 60_000)
      at.clock.advance(59_999)
      assert.deepEqual(await taken(callbacks), [])
      at.clock.advance(1)
    }
    await store.close()
  })

  test('the delivery log has each try, the last of many, also after reopening', async () => {
    const at = place()
    let { store, callbacks } = await openCallbacks(at)
    await endAll(at, store, callbacks, [1])
    const tries = Array.from({ length: CALLBACK_ATTEMPTS_KEPT + 3 }, (_, n) => ({
      atMs: 1_000 + n,
      durationMs: n,
      status: n % 2 === 0 ? 500 + n : null,
      detail: n % 2 === 0 ? 'The receiver answered „500“ \u{1f980}' : null,
    }))
    for (const attempt of tries) {
      await take(callbacks)
      await conclude(callbacks, 1, again(0), { attempt })
    }
    await store.close()
    ;({ store, callbacks } = await openCallbacks(at))
    const [view] = await callbacks.list({})
    assert.deepEqual(view?.attempts, tries.slice(3))
    assert.equal(view?.tries, tries.length)
    await store.close()
  })

  test('a conclusion that is refused leaves no line in the log', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    await endAll(at, store, callbacks, [1])
    assert.equal(await conclude(callbacks, 1, DELIVERED), false, 'taken by nobody')
    assert.equal(await conclude(callbacks, 2, DELIVERED), false, 'not there')
    await take(callbacks, { taker: 'g2' })
    assert.equal(await conclude(callbacks, 1, DISABLED), false)
    const [view] = await callbacks.list({})
    assert.deepEqual([view?.state, view?.tries, view?.attempts], ['due', 0, []])
    assert.equal(await callbacks.enable(view!.owner, view!.url), false)
    await store.close()
  })

  test('a 410 disables what waits and what is due of this owner at this URL, and nothing else', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    const { url, host } = callback(at, 1)
    const rows = [
      callback(at, 1),
      callback(at, 2, { url, host }),
      callback(at, 3, { url, host }),
      callback(at, 4, { url, host, owner: 'bob' }),
      callback(at, 5, { url: `${url}/other`, host }),
      callback(at, 6, { url, host }),
      callback(at, 7, { url, host }),
    ]
    for (const one of rows) await callbacks.register(one)
    await apply(store, 0, ...[1, 2, 4, 5, 6, 7].map((n) => succeeded(`t${n}`, 'x')))
    await take(callbacks)
    await conclude(callbacks, 6, DELIVERED)
    await conclude(callbacks, 7, again(1_000))
    at.clock.advance(10)
    assert.equal(await conclude(callbacks, 1, DISABLED, { attempt: { status: 410 } }), true)
    const expected = ['7 disabled', '6 delivered', '5 due', '4 due', '3 disabled', '2 disabled', '1 disabled']
    assert.deepEqual(await states(callbacks), expected)
    assert.equal(await conclude(callbacks, 2, DELIVERED), false, 'it was handed out')
    assert.equal(await conclude(callbacks, 4, DELIVERED), true)
    const [first] = (await callbacks.list({ id: rows[0]!.id }))!
    assert.deepEqual([first?.attempts.map((one) => one.status), first?.changedAtMs], [[410], at.clock.wallMs()])
    at.clock.advance(60_000)
    assert.deepEqual(await taken(callbacks, { taker: 'g2' }), [5])
    await store.close()
  })

  test('the end of a task makes nothing due that is disabled', async () => {
    const at = place()
    const { store, callbacks } = await openCallbacks(at)
    const { url, host } = callback(at, 1)
    for (const one of [callback(at, 1), callback(at, 2, { url, host }), callback(at, 3, { url, host })]) {
      await callbacks.register(one)
    }
    await apply(store, 0, succeeded('t1', 'x'), succeeded('t3', 'x'))
    await take(callbacks)
    await conclude(callbacks, 3, DELIVERED)
    await conclude(callbacks, 1, DISABLED)
    await apply(store, 2, succeeded('t2', 'x'), { ...succeeded('t3', 'x'), generation: 1 })
    at.clock.advance(LEASE_MS)
    assert.deepEqual(await taken(callbacks), [])
    assert.deepEqual(await states(callbacks), ['3 disabled', '2 disabled', '1 disabled'])
    await store.close()
  })
}

async function endAll(
  at: ContractPlace,
  store: Store,
  callbacks: Callbacks,
  numbers: readonly number[],
): Promise<void> {
  for (const n of numbers) await callbacks.register(callback(at, n))
  await apply(store, 0, ...numbers.map((n) => succeeded(`t${n}`, 'x')))
}
