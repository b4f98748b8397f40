import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ApplyReport, Store } from '../store.ts'
import { answer, apply, type ContractPlace, ended, entries, note, succeeded, TOPIC } from './contract-place.ts'
import { openParking, ownPartition, row } from './parking-place.ts'

export function positionTests(place: () => ContractPlace): void {
  test('what lies below the position is not applied again', async () => {
    const store = await place().open()
    await apply(store, 10, note('t', 'running', 1), note('t', 'retrying', 1))
    assert.equal(await apply(store, 10, note('t', 'running', 1)), 0)
    assert.equal(await answer(store, 't'), 'retrying')
    assert.equal(await apply(store, 11, note('t', 'running', 9), succeeded('u', 'x')), 0)
    assert.equal(await answer(store, 't'), 'retrying')
    assert.equal(await apply(store, 12, succeeded('u', 'x'), succeeded('v', 'y')), 0, 'read again is no duplicate')
    assert.equal(await answer(store, 'v'), 'y')
    assert.deepEqual(await store.positions(TOPIC), new Map([[0, 14]]))
    await store.close()
  })

  test('positions move with the batches, also with empty ones, per topic and partition', async () => {
    const at = place()
    let store = await at.open()
    assert.deepEqual(await store.positions(TOPIC), new Map())
    await apply(store, 5, succeeded('t', 'done'))
    await store.apply({ topic: TOPIC, partition: 3, from: null, next: 40, entries: [] })
    await store.apply({ topic: 'other', partition: 3, from: null, next: 7, entries: [] })
    await store.close()
    store = await at.open()
    const expected = new Map([
      [0, 6],
      [3, 40],
    ])
    assert.deepEqual(await store.positions(TOPIC), expected)
    assert.deepEqual(await store.positions('other'), new Map([[3, 7]]))
    await store.close()
  })

  test('a batch that starts above the position is refused, and nothing of it is applied', async () => {
    const store = await place().open()
    await apply(store, 0, succeeded('t', 'x'))
    assert.deepEqual(await from(store, 2, 3, 'u'), { kind: 'behind', position: 1 })
    assert.deepEqual(await from(store, 2, 2), { kind: 'behind', position: 1 }, 'also an empty one')
    assert.equal(await store.get('u'), null)
    assert.deepEqual(await store.positions(TOPIC), new Map([[0, 1]]))
    assert.deepEqual(await from(store, 1, 4, 'u'), { kind: 'applied', duplicates: 0 }, 'gaps in a log are its own')
    assert.deepEqual(await from(store, 2, 5, 'v'), { kind: 'applied', duplicates: 0 }, 'a reader who comes behind')
    assert.equal(await answer(store, 'v'), 'v')
    await store.close()
  })

  test('a batch that goes on from somewhere is refused where nothing was applied', async () => {
    const store = await place().open()
    assert.deepEqual(await from(store, 0, 1, 't'), { kind: 'behind', position: null })
    assert.deepEqual(await from(store, 7, 7), { kind: 'behind', position: null })
    await store.apply({ topic: 'other', partition: 0, from: null, next: 9, entries: [] })
    assert.deepEqual(await from(store, 7, 8, 't'), { kind: 'behind', position: null })
    assert.equal(await store.get('t'), null)
    await store.close()
  })

  test('of batches that are applied at once, one after a refused one is judged by the position as it is', async () => {
    const store = await place().open()
    const reports = await Promise.all([from(store, null, 2, 't'), from(store, 5, 6, 'u'), from(store, 2, 3, 'v')])
    assert.deepEqual(reports, [
      { kind: 'applied', duplicates: 0 },
      { kind: 'behind', position: 2 },
      { kind: 'applied', duplicates: 0 },
    ])
    assert.equal(await store.get('u'), null)
    await store.close()
  })

  test('after a rebuild the log is read again from the start, and the same is seen', async () => {
    const at = place()
    let store = await at.open()
    const facts = [
      note('a', 'running', 1),
      succeeded('a', 'first'),
      ended('b', 'dead', 'gave up'),
      succeeded('a', 'second'),
      { ...note('b', 'pending', 0), generation: 1 },
      note('c', 'parked', 2),
      ended('d', 'expired', 'too late'),
      succeeded('b', 'late'),
    ]
    await apply(store, 0, ...facts)
    const before = await Promise.all(['a', 'b', 'c', 'd'].map((taskId) => store.get(taskId)))
    await store.rebuild(TOPIC)
    assert.deepEqual(await store.positions(TOPIC), new Map())
    assert.equal(await store.get('a'), null)
    assert.deepEqual(await from(store, facts.length, facts.length), { kind: 'behind', position: null })
    await store.close()
    store = await at.open()
    await apply(store, 0, ...facts.slice(0, 3))
    await apply(store, 3, ...facts.slice(3))
    assert.deepEqual(await Promise.all(['a', 'b', 'c', 'd'].map((taskId) => store.get(taskId))), before)
    await store.close()
  })

  test('a rebuild touches neither reservations nor the positions of other topics', async () => {
    const store = await place().open()
    const claim = { principal: 'anna', route: 'orders', key: 'k', taskId: 't', fingerprint: 'f', windowMs: 60_000 }
    await store.reserve(claim)
    await store.confirm(claim)
    await apply(store, 0, succeeded('t', 'x'))
    await store.apply({ topic: 'other', partition: 3, from: null, next: 7, entries: [] })
    await store.rebuild(TOPIC)
    assert.deepEqual(await store.reserve({ ...claim, taskId: 'u' }), { kind: 'kept', taskId: 't' })
    assert.deepEqual(await store.positions('other'), new Map([[3, 7]]))
    await store.close()
  })
}

/** A rebuild leaves parked tasks and their owners alone. */
export function parkedRebuildTests(place: () => ContractPlace): void {
  test('a rebuild touches neither parked rows nor who owns them', async () => {
    const { store, parking } = await openParking(place())
    const owned = await ownPartition(parking)
    await parking.park(owned, [row(1)])
    await apply(store, 0, note('t1', 'parked', 0))
    await store.rebuild(TOPIC)
    assert.equal((await parking.take(owned.queue, [owned], 10)).rows.length, 1)
    await store.close()
  })
}

function from(store: Store, position: number | null, next: number, taskId?: string): Promise<ApplyReport> {
  const facts = taskId === undefined ? [] : [succeeded(taskId, taskId)]
  return store.apply({ topic: TOPIC, partition: 0, from: position, next, entries: entries(next - 1, ...facts) })
}
