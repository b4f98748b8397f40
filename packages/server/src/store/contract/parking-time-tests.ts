import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ContractPlace } from './contract-place.ts'
import { offsetsOf, openParking, ownPartition, QUEUE, recordAt, row, takeAll } from './parking-place.ts'

export function parkingTimeTests(place: () => ContractPlace): void {
  test('a row is handed out when it is due, not a moment earlier, and once', async () => {
    const at = place()
    const { store, parking } = await openParking(at)
    const owned = await ownPartition(parking)
    await parking.park(owned, [row(1, { dueInMs: 10_000 })])
    at.clock.advance(9_999)
    assert.deepEqual(await parking.take(QUEUE, [owned], 10), { rows: [], nextInMs: 1 })
    at.clock.advance(1)
    assert.deepEqual(await takeAll(parking, owned), [1])
    at.clock.advance(60_000)
    assert.deepEqual(await parking.take(QUEUE, [owned], 10), { rows: [], nextInMs: null })
    await store.close()
  })

  test('a row that does not wait by time comes when its deadline has passed', async () => {
    const at = place()
    const { store, parking } = await openParking(at)
    const owned = await ownPartition(parking)
    await parking.park(owned, [row(1, { dueInMs: null, reason: 'exhausted', deadlineInMs: 30_000 })])
    assert.deepEqual(await parking.take(QUEUE, [owned], 10), { rows: [], nextInMs: 30_000 })
    at.clock.advance(30_000)
    assert.deepEqual(await takeAll(parking, owned), [1])
    await store.close()
  })

  test('a deadline before the waking time counts', async () => {
    const at = place()
    const { store, parking } = await openParking(at)
    const owned = await ownPartition(parking)
    await parking.park(owned, [row(1, { dueInMs: 60_000, deadlineInMs: 5_000 })])
    assert.equal((await parking.take(QUEUE, [owned], 10)).nextInMs, 5_000)
    at.clock.advance(5_000)
    assert.deepEqual(await takeAll(parking, owned), [1])
    await store.close()
  })

  test('the earliest comes first, across partitions, and no more than asked for', async () => {
    const at = place()
    const { store, parking } = await openParking(at)
    const zero = await ownPartition(parking, 0)
    const one = await ownPartition(parking, 1)
    await parking.park(zero, [row(1, { dueInMs: 5_000 }), row(2, { dueInMs: 1_000 }), row(3, { dueInMs: 4_000 })])
    await parking.park(one, [
      row(4, { dueInMs: 3_000, record: recordAt(4, 1) }),
      row(5, { dueInMs: null, deadlineInMs: 2_000, record: recordAt(5, 1) }),
    ])
    at.clock.advance(10_000)
    const owned = [zero, one]
    assert.deepEqual(offsetsOf(await parking.take(QUEUE, owned, 0)), [])
    const first = await parking.take(QUEUE, owned, 2)
    assert.deepEqual(offsetsOf(first), [2, 5])
    assert.equal(first.nextInMs, 0)
    const rest = await parking.take(QUEUE, owned, 10)
    assert.deepEqual(offsetsOf(rest), [4, 3, 1])
    assert.equal(rest.nextInMs, null)
    await store.close()
  })

  test('a take tells how long until the next row of these partitions', async () => {
    const at = place()
    const { store, parking } = await openParking(at)
    const zero = await ownPartition(parking, 0)
    const one = await ownPartition(parking, 1)
    const images = await ownPartition(parking, 0, 'images')
    await parking.park(zero, [row(1), row(2, { dueInMs: 9_000 }), row(3, { dueInMs: null })])
    await parking.park(one, [row(4, { dueInMs: 4_000 })])
    await parking.park(images, [row(5, { dueInMs: 10 })])
    assert.deepEqual((await parking.take(QUEUE, [zero], 10)).nextInMs, 9_000)
    assert.deepEqual((await parking.take(QUEUE, [zero, one], 10)).nextInMs, 4_000)
    assert.deepEqual(await parking.take(QUEUE, [], 10), { rows: [], nextInMs: null })
    at.clock.advance(3_000)
    assert.deepEqual((await parking.take(QUEUE, [zero, one], 10)).nextInMs, 1_000)
    await store.close()
  })

  test('a row that was parked again waits by its new time', async () => {
    const at = place()
    const { store, parking } = await openParking(at)
    const owned = await ownPartition(parking)
    await parking.park(owned, [row(1), row(2, { dueInMs: 50_000 })])
    await takeAll(parking, owned)
    await parking.park(owned, [row(1, { dueInMs: 7_000, reason: 'backoff' }), row(2, { dueInMs: 1_000 })])
    assert.deepEqual(await parking.take(QUEUE, [owned], 10), { rows: [], nextInMs: 1_000 })
    at.clock.advance(7_000)
    assert.deepEqual(await takeAll(parking, owned), [2, 1])
    await store.close()
  })

  test('setting the wall clock wakes nothing early and keeps nothing longer', async () => {
    const at = place()
    const { store, parking } = await openParking(at)
    const owned = await ownPartition(parking)
    await parking.park(owned, [row(1, { dueInMs: 10_000 })])
    at.clock.setWall(3_600_000)
    assert.deepEqual(await parking.take(QUEUE, [owned], 10), { rows: [], nextInMs: 10_000 })
    await parking.park(owned, [row(2, { dueInMs: 5_000 })])
    at.clock.setWall(-3_600_000)
    at.clock.advance(5_000)
    assert.deepEqual(await takeAll(parking, owned), [2])
    at.clock.advance(5_000)
    assert.deepEqual(await takeAll(parking, owned), [1])
    at.clock.setWall(0)
    await store.close()
  })

  test('times that lie absurdly far ahead are kept', async () => {
    const { store, parking } = await openParking(place())
    const owned = await ownPartition(parking)
    await parking.park(owned, [row(1, { dueInMs: Number.MAX_SAFE_INTEGER, deadlineInMs: Number.MAX_SAFE_INTEGER })])
    const { rows, nextInMs } = await parking.take(QUEUE, [owned], 10)
    assert.deepEqual(rows, [])
    assert.ok(nextInMs !== null && nextInMs > 1_000_000_000_000)
    await store.close()
  })

  test('waiting goes on while the store is closed', async () => {
    const at = place()
    let { store, parking } = await openParking(at)
    await parking.park(await ownPartition(parking), [row(1, { dueInMs: 10_000 }), row(2, { dueInMs: 20_000 })])
    await store.close()
    at.clock.advance(10_000)
    ;({ store, parking } = await openParking(at))
    const { rows, nextInMs } = await parking.take(QUEUE, [await ownPartition(parking)], 10)
    assert.deepEqual(offsetsOf(rows), [1])
    assert.equal(nextInMs, 10_000)
    await store.close()
  })
}
