import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type BlobPlace, chance, KEEP_MS } from './contract-place.ts'

const MISSING = { code: 'BLOB_MISSING' }
const NAMES = ['forebay.tasks.orders:3:1042', `${'long'.repeat(80)}/../\u00e9 \n%`]

export function pinTests(place: () => BlobPlace): void {
  test('a pin outlives every sweep, and what is pinned goes when the last pin does', async () => {
    const here = place()
    const blobs = await here.open()
    const bytes = chance(3_000)
    const ref = await blobs.put(bytes)
    for (const name of NAMES) await blobs.pin(ref, name)
    await blobs.pin(ref, NAMES[0]!)
    here.clock.advance(10 * KEEP_MS)
    await blobs.sweep()
    assert.equal(Buffer.compare(await blobs.get(ref), bytes), 0)
    await blobs.unpin(ref, NAMES[0]!)
    await blobs.unpin(ref, NAMES[0]!)
    await blobs.sweep()
    assert.equal(Buffer.compare(await blobs.get(ref), bytes), 0)
    await blobs.unpin(ref, NAMES[1]!)
    await blobs.sweep()
    await assert.rejects(blobs.get(ref), MISSING)
    assert.equal(await here.count(), 0)
  })

  test('a blob whose time is over but for a pin can be pinned once more, and put back into use', async () => {
    const here = place()
    const blobs = await here.open()
    const bytes = chance(3_000)
    const ref = await blobs.put(bytes)
    await blobs.pin(ref, 'first')
    here.clock.advance(2 * KEEP_MS)
    await blobs.sweep()
    await blobs.pin(ref, 'second')
    await blobs.unpin(ref, 'first')
    assert.equal(Buffer.compare(await blobs.get(ref), bytes), 0)
    await blobs.put(await blobs.get(ref))
    await blobs.unpin(ref, 'second')
    here.clock.advance(KEEP_MS - 1)
    await blobs.sweep()
    assert.equal(Buffer.compare(await blobs.get(ref), bytes), 0)
  })

  test('what is not there cannot be pinned', async () => {
    const here = place()
    const blobs = await here.open()
    const ref = { sha256: 'a'.repeat(64), bytes: 12 }
    await assert.rejects(blobs.pin(ref, 'letter'), MISSING)
    await blobs.unpin(ref, 'letter')
    assert.equal(await here.count(), 0)
  })

  test('pins that come and go at the same moment do not disturb each other', async () => {
    const here = place()
    const [one, other] = [await here.open(), await here.open()]
    const bytes = chance(500)
    const ref = await one.put(bytes)
    for (let round = 0; round < 15; round++) {
      await Promise.all([
        one.pin(ref, 'stays'),
        other.pin(ref, `goes-${round}`).then(() => other.unpin(ref, `goes-${round}`)),
        one.pin(ref, `went-${round}`).then(() => one.unpin(ref, `went-${round}`)),
      ])
      if (round % 2 === 0) await one.unpin(ref, 'stays')
    }
    here.clock.advance(10 * KEEP_MS)
    await one.sweep()
    await assert.rejects(one.get(ref), MISSING)
    await one.put(bytes)
    await Promise.all(Array.from({ length: 8 }, (_, index) => one.pin(ref, `each-${index}`)))
    here.clock.advance(10 * KEEP_MS)
    await one.sweep()
    assert.equal(Buffer.compare(await other.get(ref), bytes), 0)
  })
}
