import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { test } from 'node:test'
import { type BlobPlace, chance } from './contract-place.ts'

const MIB = 1024 * 1024

export function contentTests(place: () => BlobPlace): void {
  test('what is put comes back byte for byte, whatever its size', async () => {
    const blobs = await place().open()
    for (const size of [0, 1, 4_095, 65_536, MIB - 1, MIB, 5 * MIB + 3]) {
      const bytes = chance(size)
      const ref = await blobs.put(bytes)
      assert.deepEqual(ref, { sha256: hash('sha256', bytes), bytes: size })
      assert.equal(Buffer.compare(await blobs.get(ref), bytes), 0, `${size} bytes`)
    }
  })

  test('the same bytes lie there once, however often and by whomever they are put', async () => {
    const here = place()
    const [one, other] = [await here.open(), await here.open()]
    const bytes = chance(100_000)
    const refs = await Promise.all([one, other, one, other, one].map((blobs) => blobs.put(bytes)))
    for (const ref of refs) assert.deepEqual(ref, refs[0])
    await other.put(bytes)
    assert.equal(await here.count(), 1)
    assert.equal(Buffer.compare(await other.get(refs[0]!), bytes), 0)
  })

  test('many different ones at once do not disturb each other', async () => {
    const blobs = await place().open()
    const all = Array.from({ length: 30 }, (_, index) => Buffer.alloc(200_000 + index, index))
    const refs = await Promise.all(all.map((bytes) => blobs.put(bytes)))
    const found = await Promise.all(refs.map((ref) => blobs.get(ref)))
    for (const [index, bytes] of found.entries()) assert.equal(Buffer.compare(bytes, all[index]!), 0)
  })

  test('what was never put is missing, and so is what has another length than the reference says', async () => {
    const blobs = await place().open()
    const { sha256 } = await blobs.put(Buffer.from('here'))
    await assert.rejects(blobs.get({ sha256: hash('sha256', 'not here'), bytes: 8 }), { code: 'BLOB_MISSING' })
    await assert.rejects(blobs.get({ sha256, bytes: 5 }), { code: 'BLOB_MISSING' })
  })

  test('damaged bytes are never handed out, and the next put of them mends it', async () => {
    const here = place()
    const blobs = await here.open()
    const bytes = chance(10_000)
    const ref = await blobs.put(bytes)
    await here.damage(ref)
    await assert.rejects(blobs.get(ref), { code: 'BLOB_MISSING', message: /damaged/ })
    await blobs.put(bytes)
    assert.equal(Buffer.compare(await blobs.get(ref), bytes), 0)
  })
}
