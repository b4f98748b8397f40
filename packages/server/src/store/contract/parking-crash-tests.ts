import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { StoreHarness } from './contract.ts'
import { type ContractPlace, TOPIC } from './contract-place.ts'
import { CHILD_QUEUE, CHILD_ROWS_MAX } from './crash-child-parking.ts'
import { killChild } from './crash-tests.ts'
import { assertFenced, EVERYTHING, offsetsOf, openParking, ownPartition } from './parking-place.ts'

export function parkingCrashTests(place: () => ContractPlace, harness: StoreHarness): void {
  test('after kill -9 rows that were acknowledged are there, removed ones are gone, and what was taken is due', async () => {
    const at = place()
    let lastEpoch = 0
    let begun = 0
    for (let round = 0; round < 3; round++) {
      const acknowledged = await killChild(at, harness)
      const { store, parking } = await openParking(at)
      // A server may still be at what the child asked last; nothing of that comes after this.
      const owned = await ownPartition(parking, 0, CHILD_QUEUE)
      assert.ok(owned.epoch > lastEpoch + 1, 'the child owned the partition in between')
      lastEpoch = owned.epoch
      const { rows } = await parking.list({ queue: CHILD_QUEUE, limit: EVERYTHING })
      const offsets = rows.map((one) => one.offset).sort((a, b) => a - b)
      const keptFrom = acknowledged - 2 * CHILD_ROWS_MAX
      assert.ok(offsets[0]! >= keptFrom, `a removed row is back: ${offsets[0]}, acknowledged ${acknowledged}`)
      for (let offset = acknowledged - 2; offset >= begun && offset > keptFrom; offset -= 2) {
        assert.ok(offsets.includes(offset), `${offset} is missing, acknowledged ${acknowledged}`)
      }
      await assertFenced(parking.remove({ ...owned, epoch: owned.epoch - 1 }, offsets))
      const taken = offsetsOf(await parking.take(CHILD_QUEUE, [owned], EVERYTHING))
      assert.deepEqual(
        [...taken].sort((a, b) => a - b),
        offsets,
      )
      begun = (await store.positions(TOPIC)).get(0)!
      await store.close()
    }
  })
}
