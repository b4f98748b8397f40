import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ParkedFilter, ParkedSummary, Parking } from '../parking.ts'
import type { ContractPlace } from './contract-place.ts'
import { behind, offsetsOf, openParking, ownPartition, QUEUE, recordAt, row, takeAll } from './parking-place.ts'

export function parkingOperatorTests(place: () => ContractPlace): void {
  test('the list is newest first, page by page, each row once, with the number of all', async () => {
    const at = place()
    const { store, parking } = await openParking(at)
    const owned = await ownPartition(parking)
    for (const offset of [4, 1, 3]) {
      await parking.park(owned, [row(offset)])
      at.clock.advance(1_000)
    }
    await parking.park(owned, [row(7), row(8), row(9)])
    at.clock.advance(1_000)
    await parking.park(owned, [row(1, { attempts: 1 })])
    const pages = await pagesOf(parking, { limit: 2 })
    assert.deepEqual(
      pages.map((page) => page.length),
      [2, 2, 2],
    )
    const offsets = pages.flat().map((one) => one.offset)
    assert.deepEqual([offsets[0], offsets.slice(1, 4).sort(), offsets.slice(4)], [1, [7, 8, 9], [3, 4]])
    assert.deepEqual(await parking.list({ queue: 'nobody', limit: 5 }), { rows: [], cursor: null, total: 0 })
    await store.close()
  })

  test('the list can be asked for a queue, a key, a reason, and all of them', async () => {
    const { store, parking } = await openParking(place())
    const orders = await ownPartition(parking)
    const images = await ownPartition(parking, 3, 'images')
    await parking.park(orders, [behind(1, 'a', { reason: 'exhausted' }), behind(2, 'a'), behind(3, 'b'), row(4)])
    await parking.park(images, [behind(5, 'a'), row(6, { reason: 'exhausted' })])
    const found = async (filter: Partial<ParkedFilter>) => {
      const { rows, cursor, total } = await parking.list({ ...filter, limit: 10 })
      assert.deepEqual([cursor, total], [null, rows.length])
      return rows.map((one) => one.offset).sort()
    }
    assert.deepEqual(await found({}), [1, 2, 3, 4, 5, 6])
    assert.deepEqual(await found({ queue: 'images' }), [5, 6])
    assert.deepEqual(await found({ key: 'a' }), [1, 2, 5])
    assert.deepEqual(await found({ reason: 'exhausted' }), [1, 6])
    assert.deepEqual(await found({ queue: QUEUE, key: 'a' }), [1, 2])
    assert.deepEqual(await found({ queue: QUEUE, key: 'a', reason: 'exhausted' }), [1])
    assert.deepEqual(await found({ key: 'nobody' }), [])
    const { rows, total } = await parking.list({ queue: QUEUE, limit: 1 })
    assert.deepEqual([rows.length, total], [1, 4])
    await store.close()
  })

  test('a listed row says everything but its bytes', async () => {
    const { store, parking } = await openParking(place())
    const owned = await ownPartition(parking, 2)
    const fault = { code: 'WORKER_FAILED', detail: 'no' } as const
    const given = { reason: 'exhausted', attempts: 5, losses: 1, fault, dueInMs: null } as const
    await parking.park(owned, [behind(1, 'k', { ...given, record: recordAt(1, 2) })])
    const listed = (await parking.list({ limit: 10 })).rows[0]!
    const { parkedAtMs, deadlineAtMs, ...rest } = listed
    assert.ok(deadlineAtMs > parkedAtMs)
    assert.deepEqual(rest, {
      queue: QUEUE,
      partition: 2,
      offset: 1,
      bytes: 'body of 1'.length,
      taskId: 't1',
      owner: 'anna',
      line: 'k',
      reason: 'exhausted',
      attempts: 5,
      losses: 1,
      fault,
      dueAtMs: null,
      wish: null,
    })
    await store.close()
  })

  test('a wish makes a row due at once and comes with it; the last wish counts', async () => {
    const { store, parking } = await openParking(place())
    const owned = await ownPartition(parking)
    await parking.park(owned, [row(1, { dueInMs: null, reason: 'exhausted' }), row(2, { dueInMs: 60_000 })])
    assert.equal(await parking.wish(QUEUE, 't1', 'skip'), 'kept')
    assert.equal(await parking.wish(QUEUE, 't1', 'release'), 'kept')
    assert.equal((await parking.find(QUEUE, 't1'))?.wish, 'release')
    assert.equal((await parking.list({ limit: 10, reason: 'exhausted' })).rows[0]?.wish, 'release')
    assert.equal(await parking.wish(QUEUE, 't2', 'retry'), 'kept')
    const { rows } = await parking.take(QUEUE, [owned], 10)
    assert.deepEqual(rows.map((one) => [one.taskId, one.wish]).sort(), [
      ['t1', 'release'],
      ['t2', 'retry'],
    ])
    await store.close()
  })

  test('a wish behind the head of a line waits until the row is the head', async () => {
    const { store, parking } = await openParking(place())
    const owned = await ownPartition(parking)
    await parking.park(owned, [behind(1, 'k', { reason: 'exhausted' }), behind(2, 'k'), behind(3, 'k')])
    assert.equal(await parking.wish(QUEUE, 't2', 'skip'), 'kept')
    assert.deepEqual(await takeAll(parking, owned), [])
    const line = await parking.takeLine(owned, 'k', 2)
    assert.deepEqual(
      line.map((one) => one.wish),
      [null, 'skip'],
    )
    const second = await ownPartition(parking)
    await parking.drop(second, ['t1'])
    const { rows } = await parking.take(QUEUE, [second], 10)
    assert.deepEqual([offsetsOf(rows), rows[0]?.wish], [[2], 'skip'])
    await store.close()
  })

  test('while a row is taken nothing can be wished of it, and a row that is gone is missing', async () => {
    const { store, parking } = await openParking(place())
    const owned = await ownPartition(parking)
    const body = { payload: Buffer.from('new'), contentType: 'text/plain' }
    await parking.park(owned, [row(1)])
    await takeAll(parking, owned)
    assert.equal(await parking.wish(QUEUE, 't1', 'skip'), 'taken')
    assert.equal(await parking.edit(QUEUE, 't1', body), 'taken')
    await parking.remove(owned, [1])
    assert.equal(await parking.wish(QUEUE, 't1', 'skip'), 'missing')
    assert.equal(await parking.edit(QUEUE, 't1', body), 'missing')
    assert.equal(await parking.wish('images', 't1', 'skip'), 'missing')
    await store.close()
  })

  test('a wish outlives a crash of the owner that had taken the row for it', async () => {
    const { store, parking } = await openParking(place())
    const first = await ownPartition(parking)
    await parking.park(first, [row(1, { dueInMs: null, reason: 'exhausted' })])
    await parking.wish(QUEUE, 't1', 'skip')
    await takeAll(parking, first)
    const { rows } = await parking.take(QUEUE, [await ownPartition(parking)], 10)
    assert.equal(rows[0]?.wish, 'skip')
    await store.close()
  })

  test('an edit replaces the body and what the record says of it, and nothing else', async () => {
    const at = place()
    let { store, parking } = await openParking(at)
    const headers = [
      ['ce_id', Buffer.from('t1')],
      ['content-type', Buffer.from('text/plain')],
      ['x', Buffer.from([0, 255])],
      ['fb-blob', Buffer.from('sha256:00:1')],
    ] as const
    const record = { ...recordAt(1), key: Buffer.from('k'), headers }
    await parking.park(await ownPartition(parking), [row(1, { record, dueInMs: 60_000, attempts: 2 }), row(2)])
    const before = (await parking.find(QUEUE, 't1'))!
    const payload = Buffer.from([1, 0, 255])
    assert.equal(await parking.edit(QUEUE, 't1', { payload, contentType: 'a/b; c="ö"' }), 'kept')
    await store.close()
    ;({ store, parking } = await openParking(at))
    const after = (await parking.find(QUEUE, 't1'))!
    assert.deepEqual([...after.record.value!], [1, 0, 255])
    assert.deepEqual(
      after.record.headers.map(([name, value]) => [name, Buffer.from(value).toString('latin1')]).sort(),
      [
        ['ce_id', 't1'],
        ['content-type', Buffer.from('a/b; c="ö"').toString('latin1')],
        ['x', '\u0000ÿ'],
      ],
    )
    assert.equal(Buffer.from(after.record.key!).toString(), 'k')
    const { record: _before, ...kept } = before
    const { record: _after, ...found } = after
    assert.deepEqual(found, kept)
    assert.equal((await parking.list({ limit: 10 })).rows.find((one) => one.offset === 1)?.bytes, 3)
    assert.equal(Buffer.from((await parking.find(QUEUE, 't2'))!.record.value!).toString(), 'body of 2')
    await store.close()
  })

  test('nothing is found of an unknown task', async () => {
    const { store, parking } = await openParking(place())
    assert.equal(await parking.find(QUEUE, 'nobody'), null)
    await store.close()
  })

  test('when a schedule fired last is kept, per queue and schedule, also after reopening', async () => {
    const at = place()
    let { store, parking } = await openParking(at)
    assert.equal(await parking.lastFired(QUEUE, 'nightly'), null)
    const owned = await ownPartition(parking)
    await parking.fired(owned, 'nightly', 1_700_000_000_000)
    await parking.fired(owned, 'hourly', 1_700_000_360_000)
    await parking.fired(owned, 'nightly', 1_700_086_400_000)
    await store.close()
    ;({ store, parking } = await openParking(at))
    assert.equal(await parking.lastFired(QUEUE, 'nightly'), 1_700_086_400_000)
    assert.equal(await parking.lastFired(QUEUE, 'hourly'), 1_700_000_360_000)
    assert.equal(await parking.lastFired('images', 'nightly'), null)
    await store.close()
  })
}

async function pagesOf(parking: Parking, filter: ParkedFilter): Promise<readonly (readonly ParkedSummary[])[]> {
  const pages: (readonly ParkedSummary[])[] = []
  const { total } = await parking.list(filter)
  let after: string | null = null
  do {
    const page = await parking.list(after === null ? filter : { ...filter, after })
    assert.equal(page.total, total)
    pages.push(page.rows)
    after = page.cursor
  } while (after !== null)
  return pages
}
