import assert from 'node:assert/strict'
import { test } from 'node:test'
import { answer, apply, type ContractPlace, succeeded } from './contract-place.ts'

export function lifecycleTests(place: () => ContractPlace): void {
  test('close finishes what was asked, and everything afterwards is refused', async () => {
    const at = place()
    let store = await at.open()
    const applied = Array.from({ length: 50 }, (_, n) => apply(store, n, succeeded(`t${n}`, 'done')))
    const read = store.get('t0')
    await Promise.all([store.close(), store.close()])
    assert.deepEqual(await Promise.all(applied), Array(50).fill(0))
    await read
    await assert.rejects(apply(store, 50, succeeded('late', 'x')), { code: 'CLOSED' })
    await assert.rejects(store.get('t0'), { code: 'CLOSED' })
    assert.equal(at.clock.pending, 0)
    store = await at.open()
    assert.equal(await answer(store, 't49'), 'done')
    await store.close()
  })

  test('a store that is not open says so, and opens once', async () => {
    const store = place().connect()
    await assert.rejects(store.get('t'), { code: 'CLOSED' })
    await store.open()
    await assert.rejects(store.open(), { code: 'CLOSED' })
    await store.close()
    await assert.rejects(store.open(), { code: 'CLOSED' })
  })

  test('closing what was never opened does nothing', async () => {
    await place().connect().close()
  })
}
