import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ContractPlace } from './contract-place.ts'
import { behind, offsetsOf, openParking, ownPartition, QUEUE, row, takeAll } from './parking-place.ts'

export function parkingLineTests(place: () => ContractPlace): void {
  test('time hands out the head of a line and nothing behind it, whatever time it was parked with', async () => {
    const at = place()
    const { store, parking } = await openParking(at)
    const owned = await ownPartition(parking)
    await parking.park(owned, [
      behind(1, 'k', { dueInMs: 1_000, reason: 'backoff' }),
      behind(2, 'k'),
      behind(3, 'k', { dueInMs: 0 }),
      behind(4, 'other', { dueInMs: 2_000, reason: 'backoff' }),
    ])
    assert.deepEqual(await parking.take(QUEUE, [owned], 10), { rows: [], nextInMs: 1_000 })
    at.clock.advance(5_000)
    assert.deepEqual(await takeAll(parking, owned), [1, 4])
    assert.deepEqual(await takeAll(parking, owned), [], 'the head is taken, and stays the head')
    await store.close()
  })

  test('the head of a line is its lowest offset, in whatever order the rows were parked', async () => {
    const at = place()
    const { store, parking } = await openParking(at)
    const owned = await ownPartition(parking)
    await parking.park(owned, [behind(5, 'k', { dueInMs: 0 })])
    await parking.park(owned, [behind(9, 'k'), behind(3, 'k', { dueInMs: 4_000, reason: 'backoff' })])
    assert.deepEqual(await parking.take(QUEUE, [owned], 10), { rows: [], nextInMs: 4_000 })
    at.clock.advance(4_000)
    assert.deepEqual(await takeAll(parking, owned), [3])
    await store.close()
  })

  test('behind the head comes what is past its deadline, and only that', async () => {
    const at = place()
    const { store, parking } = await openParking(at)
    const owned = await ownPartition(parking)
    await parking.park(owned, [
      behind(1, 'k', { reason: 'exhausted' }),
      behind(2, 'k', { deadlineInMs: 8_000 }),
      behind(3, 'k', { deadlineInMs: 9_000 }),
    ])
    assert.deepEqual(await parking.take(QUEUE, [owned], 10), { rows: [], nextInMs: 8_000 })
    at.clock.advance(8_000)
    assert.deepEqual(await takeAll(parking, owned), [2])
    assert.deepEqual(offsetsOf(await parking.takeLine(owned, 'k', 10)), [1, 3])
    await store.close()
  })

  test('the owner takes a line in order of offset, due or not, a piece at a time', async () => {
    const { store, parking } = await openParking(place())
    const owned = await ownPartition(parking)
    const offsets = [12, 4, 9, 30, 2].map((offset) => behind(offset, 'k', { dueInMs: offset * 1_000 }))
    await parking.park(owned, [...offsets, behind(3, 'other'), row(5)])
    assert.deepEqual(offsetsOf(await parking.takeLine(owned, 'k', 2)), [2, 4])
    assert.deepEqual(offsetsOf(await parking.takeLine(owned, 'k', 2)), [9, 12])
    assert.deepEqual(offsetsOf(await parking.takeLine(owned, 'k', 2)), [30])
    assert.deepEqual(offsetsOf(await parking.takeLine(owned, 'k', 2)), [])
    assert.deepEqual(offsetsOf(await parking.takeLine(owned, 'nobody', 2)), [])
    assert.deepEqual(offsetsOf(await parking.takeLine(owned, 'other', 0)), [])
    await store.close()
  })

  test('a line of one partition is not that of another', async () => {
    const { store, parking } = await openParking(place())
    const zero = await ownPartition(parking, 0)
    const one = await ownPartition(parking, 1)
    await parking.park(zero, [behind(1, 'k')])
    await parking.park(one, [behind(2, 'k', { dueInMs: 0 })])
    assert.deepEqual(await takeAll(parking, zero, one), [2], 'a head of its own, whatever stands elsewhere')
    assert.deepEqual(offsetsOf(await parking.takeLine(zero, 'k', 10)), [1])
    await store.close()
  })

  test('when the owner has removed the head, the line waits for its takeLine', async () => {
    const at = place()
    const { store, parking } = await openParking(at)
    const owned = await ownPartition(parking)
    await parking.park(owned, [behind(1, 'k', { dueInMs: 0 }), behind(2, 'k'), behind(3, 'k')])
    await takeAll(parking, owned)
    await parking.remove(owned, [1])
    at.clock.advance(100_000)
    assert.deepEqual(await takeAll(parking, owned), [])
    assert.deepEqual(offsetsOf(await parking.takeLine(owned, 'k', 10)), [2, 3])
    await store.close()
  })

  test('a row behind that was due all along comes once it is the head', async () => {
    const at = place()
    const { store, parking } = await openParking(at)
    const owned = await ownPartition(parking)
    const given = [behind(1, 'k', { dueInMs: 9_000 }), behind(2, 'k', { dueInMs: 0 }), behind(3, 'k', { dueInMs: 0 })]
    await parking.park(owned, given)
    assert.deepEqual(await takeAll(parking, owned), [])
    await parking.remove(owned, [1])
    assert.deepEqual(await takeAll(parking, owned), [2])
    await parking.remove(owned, [2])
    assert.equal((await parking.take(QUEUE, [owned], 0)).nextInMs, 0)
    assert.deepEqual(await takeAll(parking, owned), [3])
    await store.close()
  })

  test("a row 'behind' changes nothing of one that is there: that one waits again as it was", async () => {
    const at = place()
    const { store, parking } = await openParking(at)
    const owned = await ownPartition(parking)
    const fault = { code: 'WORKER_FAILED', detail: 'no' } as const
    const head = { dueInMs: 5_000, reason: 'backoff', attempts: 3, fault, deadlineInMs: 60_000 } as const
    await parking.park(owned, [behind(1, 'k', head), behind(2, 'k')])
    const before = await parking.find(QUEUE, 't1')
    at.clock.advance(1_000)
    await parking.park(owned, [behind(1, 'k', { dueInMs: 0 }), behind(3, 'k')])
    assert.deepEqual(await parking.find(QUEUE, 't1'), before)
    assert.equal((await parking.take(QUEUE, [owned], 10)).nextInMs, 4_000)
    assert.deepEqual(offsetsOf(await parking.takeLine(owned, 'k', 10)), [1, 2, 3])
    await parking.park(owned, [behind(1, 'k'), behind(2, 'k')])
    assert.equal((await parking.take(QUEUE, [owned], 10)).nextInMs, 4_000)
    assert.deepEqual(offsetsOf(await parking.takeLine(owned, 'k', 10)), [1, 2])
    assert.equal((await parking.list({ limit: 10 })).total, 3)
    await store.close()
  })

  test('a head that is parked anew outside its line leaves it to the next, and waits by its own time', async () => {
    const { store, parking } = await openParking(place())
    const owned = await ownPartition(parking)
    await parking.park(owned, [behind(1, 'a', { dueInMs: null }), behind(2, 'a', { dueInMs: 0 })])
    await parking.park(owned, [row(1, { dueInMs: null, reason: 'exhausted' })])
    assert.deepEqual(await takeAll(parking, owned), [2])
    await parking.park(owned, [behind(9, 'b')])
    await parking.park(owned, [row(9), behind(3, 'b')])
    assert.deepEqual(await takeAll(parking, owned), [9])
    await store.close()
  })

  test('a head that is parked again with a time wakes the line by it; what is given back stands behind', async () => {
    const at = place()
    const { store, parking } = await openParking(at)
    const owned = await ownPartition(parking)
    await parking.park(owned, [behind(1, 'k', { dueInMs: 0 }), behind(2, 'k'), behind(3, 'k')])
    assert.deepEqual(await takeAll(parking, owned), [1])
    assert.deepEqual(offsetsOf(await parking.takeLine(owned, 'k', 10)), [2, 3])
    await parking.remove(owned, [1])
    await parking.park(owned, [behind(2, 'k', { dueInMs: 6_000, reason: 'backoff', attempts: 1 }), behind(3, 'k')])
    assert.deepEqual(await parking.take(QUEUE, [owned], 10), { rows: [], nextInMs: 6_000 })
    at.clock.advance(6_000)
    assert.deepEqual(await takeAll(parking, owned), [2])
    await store.close()
  })

  test('the next owner is told the lines, and the head of each is due at once: whoever ran it is gone', async () => {
    const at = place()
    let { store, parking } = await openParking(at)
    const first = await ownPartition(parking)
    await parking.park(first, [behind(1, 'a', { dueInMs: 0 }), behind(2, 'a'), behind(3, 'a')])
    await parking.park(first, [behind(4, ''), behind(5, ''), behind(6, 'ö\u{1f980}', { reason: 'blocking' }), row(7)])
    await parking.park(first, [behind(8, 'gone')])
    await takeAll(parking, first)
    await parking.takeLine(first, 'a', 1)
    await parking.remove(first, [1, 8])
    const elsewhere = await parking.own(QUEUE, 1)
    assert.deepEqual(elsewhere.lines, [])
    await store.close()
    ;({ store, parking } = await openParking(at))
    const { epoch, lines } = await parking.own(QUEUE, 0)
    assert.deepEqual([...lines].sort(), ['', 'a', 'ö\u{1f980}'])
    const second = { queue: QUEUE, partition: 0, epoch }
    assert.deepEqual([...(await takeAll(parking, second))].sort(), [2, 4, 6, 7])
    await store.close()
  })

  test('for the next owner a head goes on waiting by its own time, or for an operator', async () => {
    const at = place()
    const { store, parking } = await openParking(at)
    const first = await ownPartition(parking)
    await parking.park(first, [
      behind(1, 'timed', { dueInMs: 9_000, reason: 'backoff' }),
      behind(2, 'timed'),
      behind(3, 'stuck', { reason: 'exhausted' }),
      behind(4, 'stuck'),
    ])
    const second = await ownPartition(parking)
    assert.deepEqual(await parking.take(QUEUE, [second], 10), { rows: [], nextInMs: 9_000 })
    at.clock.advance(9_000)
    assert.deepEqual(await takeAll(parking, second), [1])
    await parking.wish(QUEUE, 't3', 'release')
    assert.deepEqual(await takeAll(parking, second), [3])
    const third = await ownPartition(parking)
    assert.deepEqual([...(await takeAll(parking, third))].sort(), [1, 3], 'both had been taken')
    await store.close()
  })

  test('where the head is dropped the next is due at once, unless it waits by its own time or for an operator', async () => {
    const at = place()
    const { store, parking } = await openParking(at)
    const owned = await ownPartition(parking)
    const head = { dueInMs: 60_000, reason: 'backoff' } as const
    await parking.park(owned, [behind(1, 'a', head), behind(2, 'a'), behind(3, 'a'), behind(4, 'a')])
    await parking.park(owned, [behind(5, 'b', head), behind(6, 'b', { dueInMs: 9_000 })])
    await parking.park(owned, [behind(7, 'c', head), behind(8, 'c', { reason: 'exhausted' })])
    await parking.park(owned, [behind(9, 'd', head), behind(10, 'd')])
    await parking.drop(owned, ['t1', 't2', 't5', 't7', 't10'])
    const { rows, nextInMs } = await parking.take(QUEUE, [owned], 10)
    assert.deepEqual([offsetsOf(rows), nextInMs], [[3], 9_000])
    await store.close()
  })

  test('what is dropped behind a running head wakes nobody', async () => {
    const { store, parking } = await openParking(place())
    const owned = await ownPartition(parking)
    await parking.park(owned, [behind(1, 'k', { dueInMs: 0 }), behind(2, 'k'), behind(3, 'k')])
    await takeAll(parking, owned)
    assert.deepEqual(await parking.drop(owned, ['t1', 't2']), ['t2'])
    assert.deepEqual(await takeAll(parking, owned), [])
    assert.deepEqual(offsetsOf(await parking.takeLine(owned, 'k', 10)), [3])
    await store.close()
  })
}
