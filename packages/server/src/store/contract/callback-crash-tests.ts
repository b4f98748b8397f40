import assert from 'node:assert/strict'
import { test } from 'node:test'
import { conclude, DELIVERED, numberOf, openCallbacks, take } from './callback-place.ts'
import type { StoreHarness } from './contract.ts'
import type { ContractPlace } from './contract-place.ts'
import { CHILD_LEASE_MS, callbackIdAt } from './crash-child-callback.ts'
import { killChild } from './crash-tests.ts'

export function callbackCrashTests(place: () => ContractPlace, harness: StoreHarness): void {
  test('after kill -9 each callback that was acknowledged is there, due or delivered, none waits for a task that ended', async () => {
    const at = place()
    for (let round = 0; round < 3; round++) {
      const acknowledged = await killChild(at, harness)
      const { store, callbacks } = await openCallbacks(at)
      const rows = await callbacks.list({ countMax: 1_000 })
      assert.ok(
        rows.some((one) => one.state === 'delivered'),
        'the child has called somebody',
      )
      const missing: number[] = []
      for (let position = acknowledged - 2; position >= 0; position -= 2) {
        const [row] = await callbacks.list({ id: callbackIdAt(position) })
        if (row === undefined) {
          missing.push(position)
          continue
        }
        assert.notEqual(row.state, 'waiting', `${position}, acknowledged ${acknowledged}`)
        assert.deepEqual([row.taskState, row.attempts.length], ['succeeded', row.state === 'delivered' ? 1 : 0])
      }
      // A child before this one may have applied what it was killed over, without the callback beside it.
      assert.ok(missing.length <= round, `${missing.join(', ')} are missing, acknowledged ${acknowledged}`)
      assert.ok(!missing.includes(acknowledged - 2))
      // Not so long that what was delivered has had its time.
      at.clock.advance(CHILD_LEASE_MS)
      const left = await take(callbacks)
      const due = await callbacks.list({ state: 'due', countMax: 1_000 })
      assert.deepEqual(left.map(numberOf).sort(), due.map(numberOf).sort(), 'leases of the dead run out')
      for (const one of left) assert.equal(await conclude(callbacks, numberOf(one), DELIVERED), true)
      await store.close()
    }
  })
}
