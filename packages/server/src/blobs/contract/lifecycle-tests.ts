import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type BlobPlace, chance } from './contract-place.ts'

export function lifecycleTests(place: () => BlobPlace): void {
  test('what was put is there after everything was closed and opened again', async () => {
    const here = place()
    const first = await here.open()
    const ref = await first.put(Buffer.from('still here'))
    await first.close()
    const second = await here.open()
    assert.equal(Buffer.from(await second.get(ref)).toString(), 'still here')
  })

  test('before it is open and after it is closed, every call is refused', async () => {
    const blobs = place().connect()
    const ref = { sha256: 'a'.repeat(64), bytes: 1 }
    const refuses = async () => {
      const closed = { code: 'CLOSED' }
      await assert.rejects(blobs.put(Buffer.from('x')), closed)
      await assert.rejects(blobs.get(ref), closed)
      await assert.rejects(blobs.pin(ref, 'a'), closed)
      await assert.rejects(blobs.unpin(ref, 'a'), closed)
      await assert.rejects(blobs.sweep(), closed)
    }
    await refuses()
    await blobs.open()
    await blobs.close()
    await blobs.close()
    await refuses()
    await assert.rejects(blobs.open(), { code: 'CLOSED' })
  })

  test('a close waits for the puts that are under way', async () => {
    const here = place()
    const blobs = await here.open()
    const putting = Promise.all(Array.from({ length: 5 }, () => blobs.put(chance(300_000))))
    let done = false
    void putting.then(() => {
      done = true
    })
    await blobs.close()
    assert.ok(done)
    const again = await here.open()
    for (const ref of await putting) assert.equal((await again.get(ref)).length, 300_000)
  })
}
