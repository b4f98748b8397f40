import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LogRecord } from '@forebay/broker'
import type { ParkedRow, RowToPark } from '../parking.ts'
import type { ContractPlace } from './contract-place.ts'
import { DEADLINE_MS, openParking, ownPartition, QUEUE, recordAt, row, takeAll } from './parking-place.ts'

export function parkingRowTests(place: () => ContractPlace): void {
  test('a row comes back as it was given, also after reopening: record, counts, fault, moments', async () => {
    const at = place()
    const rows: readonly RowToPark[] = [
      row(7, {
        record: UNUSUAL,
        taskId: 'kø/\u{1f980}',
        owner: 'ö',
        attempts: 3,
        losses: 2,
        line: 'k "1"',
        reason: 'backoff',
      }),
      row(8, { fault: { code: 'WORKER_FAILED', detail: 'zu spät \u{1f980}' }, reason: 'blocking' }),
      row(9, { record: { ...recordAt(9), value: null }, owner: '', line: '', reason: 'exhausted' }),
      row(10, { record: { ...recordAt(10), key: new Uint8Array(0), value: new Uint8Array(0), headers: [] } }),
    ]
    let { store, parking } = await openParking(at)
    await parking.park(await ownPartition(parking), rows)
    for (const given of rows) assertSame((await parking.find(QUEUE, given.taskId))!, given)
    await store.close()
    ;({ store, parking } = await openParking(at))
    const { rows: taken } = await parking.take(QUEUE, [await ownPartition(parking)], 10)
    assert.equal(taken.length, rows.length)
    for (const given of rows) {
      const { nowMs, ...found } = taken.find((one) => one.taskId === given.taskId)!
      assertSame(found, given)
      assert.equal(nowMs, found.parkedAtMs, 'the clock stood still')
    }
    await store.close()
  })

  test('moments are told by the clock of the store', async () => {
    const at = place()
    const { store, parking } = await openParking(at)
    const owned = await ownPartition(parking)
    await parking.park(owned, [row(1, { dueInMs: 5_000, deadlineInMs: 70_000 })])
    at.clock.advance(1_000)
    await parking.park(owned, [row(2, { dueInMs: null })])
    const one = (await parking.find(QUEUE, 't1'))!
    const two = (await parking.find(QUEUE, 't2'))!
    assert.equal(one.dueAtMs! - one.parkedAtMs, 5_000)
    assert.equal(one.deadlineAtMs - one.parkedAtMs, 70_000)
    assert.equal(two.dueAtMs, null)
    assert.equal(two.parkedAtMs - one.parkedAtMs, 1_000)
    at.clock.advance(4_500)
    const taken = (await parking.take(QUEUE, [owned], 10)).rows[0]!
    assert.equal(taken.nowMs - taken.dueAtMs!, 500)
    await store.close()
  })

  test('large records and long headers come back whole', async () => {
    const { store, parking } = await openParking(place())
    const value = Buffer.alloc(3 * 1024 * 1024, 'é')
    const headers = Array.from({ length: 1_000 }, (_, n) => [`h${n}`, Buffer.from([n % 256])] as const)
    const large = row(1, { record: { ...recordAt(1), value, headers } })
    await parking.park(await ownPartition(parking), [large, row(2)])
    assertSame((await parking.find(QUEUE, 't1'))!, large)
    await store.close()
  })

  test('offsets reach beyond 32 bits', async () => {
    const { store, parking } = await openParking(place())
    const owned = await ownPartition(parking)
    const offsets = [2 ** 31, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER - 1, Number.MAX_SAFE_INTEGER]
    await parking.park(
      owned,
      offsets.map((offset) => row(offset, { line: 'k' })),
    )
    const line = await parking.takeLine(owned, 'k', 10)
    assert.deepEqual(
      line.map((one) => one.record.offset),
      offsets,
    )
    await parking.remove(owned, offsets.slice(1))
    assert.equal((await parking.list({ limit: 10 })).rows[0]?.offset, 2 ** 31)
    await store.close()
  })

  test('parking is all or nothing: a batch with a row that cannot be kept leaves none behind', async () => {
    const { store, parking } = await openParking(place())
    const owned = await ownPartition(parking)
    const broken = { ...row(3), taskId: null } as unknown as RowToPark
    await assert.rejects(parking.park(owned, [row(1), row(2), broken, row(4)]))
    assert.equal((await parking.list({ limit: 10 })).total, 0)
    await parking.park(owned, [row(5)])
    assert.deepEqual(await takeAll(parking, owned), [5])
    await store.close()
  })

  test('a row of the same offset is replaced and waits again, whoever had taken it', async () => {
    const { store, parking } = await openParking(place())
    const owned = await ownPartition(parking)
    await parking.park(owned, [row(1), row(2)])
    await parking.wish(QUEUE, 't1', 'retry')
    await takeAll(parking, owned)
    await parking.park(owned, [row(1, { attempts: 4, dueInMs: 0 })])
    const { rows } = await parking.take(QUEUE, [owned], 10)
    assert.deepEqual(
      rows.map((one) => [one.taskId, one.attempts, one.wish]),
      [['t1', 4, null]],
    )
    assert.equal((await parking.list({ limit: 10 })).total, 2)
    await store.close()
  })

  test('the same offset in another partition or queue is another row', async () => {
    const { store, parking } = await openParking(place())
    const zero = await ownPartition(parking, 0)
    const one = await ownPartition(parking, 1)
    const images = await ownPartition(parking, 0, 'images')
    await parking.park(zero, [row(1, { taskId: 'zero' })])
    await parking.park(one, [row(1, { taskId: 'one', record: recordAt(1, 1) })])
    await parking.park(images, [row(1, { taskId: 'images' })])
    await parking.remove(zero, [1])
    assert.equal(await parking.find(QUEUE, 'zero'), null)
    assert.equal((await parking.find(QUEUE, 'one'))?.partition, 1)
    assert.equal((await parking.find('images', 'images'))?.queue, 'images')
    assert.equal(await parking.find(QUEUE, 'images'), null)
    await store.close()
  })

  test('removed rows are gone, taken or not; removing what is not there does nothing', async () => {
    const { store, parking } = await openParking(place())
    const owned = await ownPartition(parking)
    await parking.park(owned, [row(1), row(2), row(3)])
    await parking.take(QUEUE, [owned], 2)
    await parking.remove(owned, [1, 3, 99])
    await parking.remove(owned, [1, 3])
    const left = await parking.list({ limit: 10 })
    assert.deepEqual(
      left.rows.map((one) => one.offset),
      [2],
    )
    await store.close()
  })

  test('many rows are parked, taken and removed in one go', async () => {
    const { store, parking } = await openParking(place())
    const owned = await ownPartition(parking)
    const offsets = Array.from({ length: 3_000 }, (_, offset) => offset)
    await parking.park(
      owned,
      offsets.map((offset) => row(offset)),
    )
    const { rows } = await parking.take(QUEUE, [owned], 3_000)
    assert.equal(rows.length, 3_000)
    await parking.remove(owned, offsets)
    assert.equal((await parking.list({ limit: 1 })).total, 0)
    await store.close()
  })

  test('dropping removes rows of the tasks that nobody has taken, and says which', async () => {
    const { store, parking } = await openParking(place())
    const owned = await ownPartition(parking)
    await parking.park(owned, [row(1), row(2, { dueInMs: 60_000 }), row(3, { dueInMs: null })])
    await takeAll(parking, owned)
    assert.deepEqual([...(await parking.drop(owned, ['t1', 't2', 't3', 'nobody']))].sort(), ['t2', 't3'])
    assert.deepEqual(await parking.drop(owned, ['t2']), [])
    assert.deepEqual(await parking.drop(owned, []), [])
    assert.notEqual(await parking.find(QUEUE, 't1'), null)
    assert.equal(await parking.find(QUEUE, 't3'), null)
    await store.close()
  })
}

/** Names twice, bytes that are no text, an empty value; offset and timestamp beyond 32 bits. */
const UNUSUAL: LogRecord = {
  topic: 'forebay.tasks.örders',
  partition: 0,
  offset: 2 ** 40 + 7,
  timestampMs: 1_700_000_000_123,
  key: Buffer.from([0, 255, 10, 128]),
  value: Buffer.from([0, 255, 13, 10, 128, 0]),
  headers: [
    ['x', Buffer.from([0, 255])],
    ['X-ö', Buffer.alloc(0)],
    ['x', Buffer.from('second')],
    ['', Buffer.from('unnamed')],
  ],
}

function assertSame(found: ParkedRow, given: RowToPark): void {
  const { dueInMs, deadlineInMs, ...kept } = given
  const { queue, partition, parkedAtMs, dueAtMs, deadlineAtMs, wish, ...back } = found
  assert.deepEqual(plain(back), plain(kept))
  assert.deepEqual({ queue, partition, wish }, { queue: QUEUE, partition: 0, wish: null })
  assert.equal(deadlineAtMs - parkedAtMs, deadlineInMs ?? DEADLINE_MS)
  assert.notEqual(dueAtMs, undefined)
}

/** Bytes as numbers, whatever kind of array holds them. */
function plain(row: Omit<RowToPark, 'dueInMs' | 'deadlineInMs'>): unknown {
  const { record } = row
  const bytes = (some: Uint8Array | null) => (some === null ? null : Buffer.from(some).toString('hex'))
  const headers = record.headers.map(([name, value]) => [name, bytes(value)])
  return { ...row, record: { ...record, key: bytes(record.key), value: bytes(record.value), headers } }
}
