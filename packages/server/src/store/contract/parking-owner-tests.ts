import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ContractPlace } from './contract-place.ts'
import { assertFenced, behind, offsetsOf, openParking, ownPartition, QUEUE, row, takeAll } from './parking-place.ts'

export function parkingOwnerTests(place: () => ContractPlace): void {
  test('each owner gets a later epoch, also after reopening, and each partition counts for itself', async () => {
    const at = place()
    let { store, parking } = await openParking(at)
    const first = await ownPartition(parking)
    const second = await ownPartition(parking)
    assert.ok(second.epoch > first.epoch)
    await store.close()
    ;({ store, parking } = await openParking(at))
    const third = await ownPartition(parking)
    assert.ok(third.epoch > second.epoch)
    const elsewhere = [await ownPartition(parking, 1), await ownPartition(parking, 0, 'images')]
    for (const owned of [third, ...elsewhere]) await parking.remove(owned, [])
    await store.close()
  })

  test('what an earlier owner writes is refused and changes nothing', async () => {
    const { store, parking } = await openParking(place())
    const earlier = await ownPartition(parking)
    await parking.park(earlier, [row(1), behind(2, 'k')])
    const later = await ownPartition(parking)
    await assertFenced(parking.park(earlier, [row(3)]))
    await assertFenced(parking.park(earlier, []))
    await assertFenced(parking.park(earlier, [row(1, { dueInMs: 60_000 })]))
    await assertFenced(parking.remove(earlier, [1]))
    await assertFenced(parking.remove(earlier, []))
    await assertFenced(parking.fired(earlier, 'nightly', 1_000))
    assert.equal(await parking.lastFired(QUEUE, 'nightly'), null)
    assert.deepEqual([...(await takeAll(parking, later))].sort(), [1, 2])
    await store.close()
  })

  test('an earlier owner is handed out nothing, and nothing is marked for it', async () => {
    const { store, parking } = await openParking(place())
    const earlier = await ownPartition(parking)
    await parking.park(earlier, [row(1), behind(2, 'k')])
    const later = await ownPartition(parking)
    assert.deepEqual(await parking.take(QUEUE, [earlier], 10), { rows: [], nextInMs: null })
    await assertFenced(parking.takeLine(earlier, 'k', 10))
    assert.deepEqual(await parking.drop(earlier, ['t1', 't2']), [])
    assert.deepEqual([...(await takeAll(parking, later))].sort(), [1, 2])
    await store.close()
  })

  test('an epoch that nobody was given is refused', async () => {
    const { store, parking } = await openParking(place())
    const owned = await ownPartition(parking)
    for (const epoch of [owned.epoch + 1, owned.epoch - 1, -1]) {
      await assertFenced(parking.park({ ...owned, epoch }, [row(1)]))
    }
    await assertFenced(parking.park({ ...owned, partition: 9 }, [row(1)]))
    await store.close()
  })

  test('partitions that are owned no more are passed over, the others are taken from', async () => {
    const { store, parking } = await openParking(place())
    const all = await Promise.all([0, 1, 2].map((partition) => ownPartition(parking, partition)))
    for (const owned of all) await parking.park(owned, [row(10 + owned.partition)])
    const later = await ownPartition(parking, 1)
    assert.deepEqual([...(await takeAll(parking, ...all))].sort(), [10, 12])
    assert.deepEqual(await takeAll(parking, later), [11])
    await store.close()
  })

  test('what the last owner had taken is due at once for the next, whenever it was due before', async () => {
    const { store, parking } = await openParking(place())
    const first = await ownPartition(parking)
    await parking.park(first, [row(1), row(2), row(3, { dueInMs: 60_000 })])
    await parking.park(first, [behind(4, 'k', { dueInMs: 60_000, reason: 'backoff' }), behind(5, 'k'), behind(6, 'k')])
    assert.deepEqual([...(await takeAll(parking, first))].sort(), [1, 2])
    assert.deepEqual(offsetsOf(await parking.takeLine(first, 'k', 2)), [4, 5])
    const second = await ownPartition(parking)
    assert.deepEqual([...(await takeAll(parking, second))].sort(), [1, 2, 4])
    assert.deepEqual(offsetsOf(await parking.takeLine(second, 'k', 10)), [5, 6])
    assert.deepEqual(await takeAll(parking, second), [])
    await store.close()
  })

  test('owning one partition gives back nothing of another, nor of another queue', async () => {
    const { store, parking } = await openParking(place())
    const zero = await ownPartition(parking, 0)
    const one = await ownPartition(parking, 1)
    const images = await ownPartition(parking, 0, 'images')
    for (const owned of [zero, one, images]) await parking.park(owned, [row(7)])
    await takeAll(parking, zero, one)
    await takeAll(parking, images)
    const again = await ownPartition(parking, 0)
    assert.deepEqual(await takeAll(parking, one), [])
    assert.deepEqual(await takeAll(parking, images), [])
    assert.deepEqual(await takeAll(parking, again), [7])
    await store.close()
  })

  test('many partitions are owned at once, each by exactly one of those who ask', async () => {
    const { store, parking } = await openParking(place())
    const partitions = Array.from({ length: 100 }, (_, partition) => partition)
    const asked = [...partitions, ...partitions, ...partitions]
    const given = await Promise.all(asked.map((partition) => ownPartition(parking, partition)))
    for (const partition of partitions) {
      const mine = given.filter((one) => one.partition === partition)
      const epochs = mine.map((one) => one.epoch)
      assert.equal(new Set(epochs).size, 3)
      const outcomes = await Promise.allSettled(mine.map((owned) => parking.park(owned, [row(1)])))
      const kept = mine.filter((_, index) => outcomes[index]!.status === 'fulfilled')
      assert.deepEqual(
        kept.map((one) => one.epoch),
        [Math.max(...epochs)],
      )
    }
    await store.close()
  })

  test('owners that change hands while they take never both hold a row', async () => {
    const { store, parking } = await openParking(place())
    const first = await ownPartition(parking)
    const offsets = Array.from({ length: 60 }, (_, offset) => offset)
    await parking.park(
      first,
      offsets.map((offset) => row(offset)),
    )
    const hold = Array.from({ length: 6 }, () => parking.take(QUEUE, [first], 10))
    const taken = (await Promise.all(hold)).flatMap((one) => offsetsOf(one))
    assert.deepEqual(
      [...taken].sort((a, b) => a - b),
      offsets,
    )
    const [second, late] = await Promise.all([ownPartition(parking), parking.take(QUEUE, [first], 10)])
    assert.deepEqual(late.rows, [])
    assert.equal((await takeAll(parking, second)).length, 60)
    await store.close()
  })
}
