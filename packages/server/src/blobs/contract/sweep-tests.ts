import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Clock, systemClock } from '@forebay/broker'
import type { BlobRef } from '../../task.ts'
import { type BlobPlace, chance, KEEP_MS } from './contract-place.ts'

const HOUR_MS = 60 * 60 * 1000
const MISSING = { code: 'BLOB_MISSING' }

export function sweepTests(place: () => BlobPlace): void {
  test('a blob is there for all of its time, and gone not long after', async () => {
    const here = place()
    const blobs = await here.open()
    const ref = await blobs.put(chance(1_000))
    here.clock.advance(KEEP_MS - 1)
    assert.equal((await blobs.sweep()).removed, 0)
    here.clock.advance(KEEP_MS / 4 + 1)
    assert.equal((await blobs.sweep()).removed, 1)
    await assert.rejects(blobs.get(ref), MISSING)
    assert.equal(await here.count(), 0)
  })

  test('a blob that is put again begins its time again', async () => {
    const here = place()
    const blobs = await here.open()
    const bytes = chance(1_000)
    const ref = await blobs.put(bytes)
    for (let round = 0; round < 4; round++) {
      here.clock.advance(KEEP_MS - 1)
      await blobs.put(bytes)
      await blobs.sweep()
    }
    here.clock.advance(KEEP_MS - 1)
    await blobs.sweep()
    assert.equal(Buffer.compare(await blobs.get(ref), bytes), 0)
  })

  test('a blob that is put for longer stays for longer, whatever is put of it before and after', async () => {
    const here = place()
    const blobs = await here.open()
    const bytes = chance(1_000)
    await blobs.put(bytes)
    const ref = await blobs.put(bytes, 20 * KEEP_MS)
    await blobs.put(bytes, KEEP_MS / 2)
    for (let left = 20; left > 0; left--) {
      assert.equal(Buffer.compare(await blobs.get(ref), bytes), 0)
      here.clock.advance(KEEP_MS - 1)
      await blobs.sweep()
    }
    assert.equal(Buffer.compare(await blobs.get(ref), bytes), 0)
    here.clock.advance(KEEP_MS + 21)
    await blobs.sweep()
    await assert.rejects(blobs.get(ref), MISSING)
    assert.equal(await here.count(), 0)
  })

  test('sweeps and puts of the same bytes at the same moment lose nothing that was acknowledged', async () => {
    const here = place()
    const [one, other] = [await here.open(), await here.open()]
    const bytes = Array.from({ length: 5 }, (_, index) => Buffer.alloc(2_000, index + 1))
    for (let round = 0; round < 12; round++) {
      // The edges: just before, at and just after the moment at which the last ones may go.
      here.clock.advance(KEEP_MS + KEEP_MS / 4 - 1 + (round % 3))
      const [refs] = await Promise.all([
        Promise.all(bytes.map((each, index) => (index % 2 === 0 ? one : other).put(each))),
        one.sweep(),
        other.sweep(),
      ])
      await one.sweep()
      for (const [index, ref] of refs.entries()) {
        assert.equal(Buffer.compare(await other.get(ref), bytes[index]!), 0, `round ${round}`)
      }
    }
  })

  test('processes whose clocks differ by an hour take nothing from each other until an hour before its time is over', async () => {
    const here = place()
    const slow = await here.open()
    const clock: Clock = { ...systemClock, wallMs: () => here.clock.wallMs() + HOUR_MS }
    const fast = await here.open({ clock })
    const [ofSlow, ofFast] = [await slow.put(Buffer.from('of slow')), await fast.put(Buffer.from('of fast'))]
    assert.equal(Buffer.from(await slow.get(ofFast)).toString(), 'of fast')
    here.clock.advance(KEEP_MS - HOUR_MS - 1)
    await Promise.all([fast.sweep(), slow.sweep()])
    assert.equal(Buffer.from(await fast.get(ofSlow)).toString(), 'of slow')
    assert.equal(Buffer.from(await slow.get(ofFast)).toString(), 'of fast')
  })

  test('the time that was promised holds when blobs are kept for another time from now on', async () => {
    const here = place()
    const before = await here.open()
    const ref = await before.put(Buffer.from('as it was'))
    const longer = await before.put(Buffer.from('for longer'), 3 * KEEP_MS)
    const others = [await here.open({ keepMs: KEEP_MS / 7 }), await here.open({ keepMs: KEEP_MS * 30 })]
    const all = async (wanted: BlobRef, text: string) => {
      for (const blobs of others) {
        await blobs.sweep()
        assert.equal(Buffer.from(await blobs.get(wanted)).toString(), text)
      }
    }
    await all(ref, 'as it was')
    here.clock.advance(KEEP_MS - 1)
    await all(ref, 'as it was')
    here.clock.advance(2 * KEEP_MS)
    await all(longer, 'for longer')
  })
}
