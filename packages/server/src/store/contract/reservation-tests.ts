import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Claim } from '../store.ts'
import { CLAIM_MS, type ContractPlace } from './contract-place.ts'

const WINDOW_MS = 600_000

export function reservationTests(place: () => ContractPlace): void {
  test('of a hundred claims at once exactly one wins', async () => {
    const store = await place().open()
    const kinds = await Promise.all(Array.from({ length: 100 }, async (_, n) => (await store.reserve(claim(n))).kind))
    assert.equal(kinds.filter((kind) => kind === 'claimed').length, 1)
    assert.equal(kinds.filter((kind) => kind === 'in-flight').length, 99)
    await store.close()
  })

  test('a confirmed claim is answered with its task, also after reopening', async () => {
    const at = place()
    let store = await at.open()
    assert.deepEqual(await store.reserve(claim(1)), { kind: 'claimed' })
    await store.confirm(claim(1))
    assert.deepEqual(await store.reserve(claim(2)), { kind: 'kept', taskId: 'task-1' })
    await store.close()
    store = await at.open()
    assert.deepEqual(await store.reserve(claim(3)), { kind: 'kept', taskId: 'task-1' })
    await store.close()
  })

  test('another request under the same key is a mismatch, in flight or kept', async () => {
    const store = await place().open()
    await store.reserve(claim(1))
    assert.deepEqual(await store.reserve({ ...claim(2), fingerprint: 'other' }), { kind: 'mismatch' })
    await store.confirm(claim(1))
    assert.deepEqual(await store.reserve({ ...claim(2), fingerprint: 'other' }), { kind: 'mismatch' })
    await store.close()
  })

  test('keys of other principals and routes are other keys', async () => {
    const store = await place().open()
    await store.reserve(claim(1))
    assert.deepEqual(await store.reserve({ ...claim(2), principal: 'bert' }), { kind: 'claimed' })
    assert.deepEqual(await store.reserve({ ...claim(3), route: 'images' }), { kind: 'claimed' })
    assert.deepEqual(await store.reserve({ ...claim(4), key: 'K-1' }), { kind: 'claimed' })
    await store.close()
  })

  test('a released key is free', async () => {
    const store = await place().open()
    await store.reserve(claim(1))
    assert.equal(await store.release(claim(1)), 'sole')
    assert.deepEqual(await store.reserve(claim(2)), { kind: 'claimed' })
    await store.close()
  })

  test('releasing does not undo a confirmation', async () => {
    const store = await place().open()
    await store.reserve(claim(1))
    assert.equal(await store.confirm(claim(1)), 'sole')
    assert.equal(await store.release(claim(1)), 'shared')
    assert.deepEqual(await store.reserve(claim(2)), { kind: 'kept', taskId: 'task-1' })
    await store.close()
  })

  test('a claim that nobody settled resumes with its task, for exactly one caller at a time', async () => {
    const at = place()
    const store = await at.open()
    await store.reserve(claim(1))
    at.clock.advance(CLAIM_MS - 1)
    assert.deepEqual(await store.reserve(claim(2)), { kind: 'in-flight' })
    at.clock.advance(1)
    const first = await Promise.all(Array.from({ length: 20 }, (_, n) => store.reserve(claim(n + 3))))
    assert.deepEqual(
      first.filter((one) => one.kind !== 'in-flight'),
      [{ kind: 'resume', taskId: 'task-1' }],
    )
    at.clock.advance(CLAIM_MS)
    assert.deepEqual(await store.reserve(claim(50)), { kind: 'resume', taskId: 'task-1' })
    assert.equal(await store.confirm(claim(1)), 'shared')
    assert.deepEqual(await store.reserve(claim(51)), { kind: 'kept', taskId: 'task-1' })
    await store.close()
  })

  test('a claim of an earlier run of the process resumes at once, once', async () => {
    const at = place()
    await (await openAndClaim(at)).close()
    const store = await at.open()
    const kinds = await Promise.all(Array.from({ length: 20 }, async (_, n) => (await store.reserve(claim(n))).kind))
    assert.equal(kinds.filter((kind) => kind === 'resume').length, 1)
    assert.equal(kinds.filter((kind) => kind === 'in-flight').length, 19)
    await store.close()
  })

  test('releasing a resumed claim keeps its task for the key: the append before may have been kept', async () => {
    const at = place()
    await (await openAndClaim(at)).close()
    const store = await at.open()
    assert.deepEqual(await store.reserve(claim(2)), { kind: 'resume', taskId: 'task-1' })
    assert.equal(await store.release(claim(1)), 'shared')
    assert.deepEqual(await store.reserve(claim(3)), { kind: 'resume', taskId: 'task-1' })
    assert.deepEqual(await store.reserve(claim(4)), { kind: 'in-flight' })
    await store.close()
  })

  test('a claim whose append is in doubt resumes at once with its task, and a release does not free it', async () => {
    const store = await place().open()
    await store.reserve(claim(1))
    await store.doubt(claim(1))
    assert.deepEqual(await store.reserve({ ...claim(2), fingerprint: 'other' }), { kind: 'mismatch' })
    assert.deepEqual(await store.reserve(claim(2)), { kind: 'resume', taskId: 'task-1' })
    assert.deepEqual(await store.reserve(claim(3)), { kind: 'in-flight' })
    assert.equal(await store.release(claim(1)), 'shared')
    assert.deepEqual(await store.reserve(claim(4)), { kind: 'resume', taskId: 'task-1' })
    assert.equal(await store.confirm(claim(1)), 'shared')
    await store.doubt(claim(1))
    assert.deepEqual(await store.reserve(claim(5)), { kind: 'kept', taskId: 'task-1' })
    await store.close()
  })

  test('a claim that is renewed counts from then on', async () => {
    const at = place()
    const store = await at.open()
    await store.reserve(claim(1))
    for (let round = 0; round < 3; round++) {
      at.clock.advance(CLAIM_MS - 1)
      assert.deepEqual(await store.reserve(claim(2)), { kind: 'in-flight' })
      await store.renew(claim(1))
    }
    at.clock.advance(CLAIM_MS)
    assert.deepEqual(await store.reserve(claim(3)), { kind: 'resume', taskId: 'task-1' })
    await store.close()
  })

  test('a renewal brings nothing back: not what is in doubt, nor free, nor kept', async () => {
    const store = await place().open()
    await store.reserve(claim(1))
    await store.doubt(claim(1))
    await store.renew(claim(1))
    assert.deepEqual(await store.reserve(claim(2)), { kind: 'resume', taskId: 'task-1' })
    await store.confirm(claim(1))
    await store.renew(claim(1))
    assert.deepEqual(await store.reserve(claim(3)), { kind: 'kept', taskId: 'task-1' })
    const other = { ...claim(4), key: 'k-2' }
    await store.reserve(other)
    await store.release(other)
    await store.renew(other)
    assert.deepEqual(await store.reserve({ ...other, fingerprint: 'other' }), { kind: 'claimed' })
    await store.close()
  })

  test('a first holder that comes late to a claim that was resumed neither frees the key nor thinks the task its own', async () => {
    const at = place()
    const store = await at.open()
    await store.reserve(claim(1))
    at.clock.advance(CLAIM_MS)
    assert.deepEqual(await store.reserve(claim(2)), { kind: 'resume', taskId: 'task-1' })
    assert.equal(await store.release(claim(1)), 'shared')
    assert.deepEqual(await store.reserve(claim(3)), { kind: 'resume', taskId: 'task-1' })
    assert.equal(await store.confirm(claim(1)), 'shared')
    assert.deepEqual(await store.reserve(claim(4)), { kind: 'kept', taskId: 'task-1' })
    await store.close()
  })

  test('a process that was overtaken renews nothing for the one that overtook it', async (t) => {
    const at = place()
    const former = await at.open()
    if (!former.capabilities.shared) return t.skip('one process at a time')
    const store = await at.open()
    await former.reserve(claim(1))
    at.clock.advance(CLAIM_MS)
    assert.deepEqual(await store.reserve(claim(2)), { kind: 'resume', taskId: 'task-1' })
    at.clock.advance(CLAIM_MS - 1)
    await former.renew(claim(1))
    at.clock.advance(1)
    assert.deepEqual(await store.reserve(claim(3)), { kind: 'resume', taskId: 'task-1' })
    assert.equal(await store.confirm(claim(1)), 'shared')
    assert.equal(await former.confirm(claim(1)), 'shared')
    await Promise.all([former.close(), store.close()])
  })

  test('what is told late about a claim does nothing to the next one of the key', async () => {
    const store = await place().open()
    await store.reserve(claim(1))
    await store.release(claim(1))
    assert.deepEqual(await store.reserve(claim(2)), { kind: 'claimed' })
    assert.equal(await store.release(claim(1)), 'shared')
    await store.doubt(claim(1))
    assert.equal(await store.confirm(claim(1)), 'shared')
    assert.deepEqual(await store.reserve(claim(3)), { kind: 'in-flight' })
    assert.equal(await store.confirm(claim(2)), 'sole')
    assert.deepEqual(await store.reserve(claim(3)), { kind: 'kept', taskId: 'task-2' })
    await store.close()
  })

  test('a key is free again after its window, by the clock of the store', async () => {
    const at = place()
    const store = await at.open()
    await store.reserve(claim(1))
    await store.confirm(claim(1))
    at.clock.advance(WINDOW_MS - 1)
    assert.deepEqual(await store.reserve(claim(2)), { kind: 'kept', taskId: 'task-1' })
    at.clock.advance(1)
    assert.deepEqual(await store.reserve({ ...claim(3), fingerprint: 'other' }), { kind: 'claimed' })
    await store.close()
  })

  test('settling what nobody claimed does nothing', async () => {
    const store = await place().open()
    assert.equal(await store.confirm(claim(1)), 'shared')
    assert.equal(await store.release(claim(1)), 'shared')
    await store.doubt(claim(1))
    await store.renew(claim(1))
    assert.deepEqual(await store.reserve(claim(2)), { kind: 'claimed' })
    await store.close()
  })

  async function openAndClaim(at: ContractPlace) {
    const store = await at.open()
    assert.deepEqual(await store.reserve(claim(1)), { kind: 'claimed' })
    return store
  }
}

function claim(task: number): Claim {
  return {
    principal: 'anna',
    route: 'orders',
    key: 'k-1',
    taskId: `task-${task}`,
    fingerprint: 'same',
    windowMs: WINDOW_MS,
  }
}
