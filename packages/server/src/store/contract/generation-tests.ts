import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Note, Result } from '../../task.ts'
import { answer, apply, type ContractPlace, ended, note, succeeded } from './contract-place.ts'

export function generationTests(place: () => ContractPlace): void {
  test('a pending note of the next generation opens a dead task again, and its end is the answer then', async () => {
    const at = place()
    let store = await at.open()
    await apply(store, 0, ended('t', 'dead', 'gave up'), of(1, note('t', 'pending', 0, 2_000)))
    assert.deepEqual(await store.get('t'), {
      taskId: 't',
      queue: 'orders',
      owner: 'anna',
      attempts: 0,
      generation: 1,
      status: { state: 'pending', atMs: 2_000, fault: null },
    })
    assert.equal(await apply(store, 2, of(1, note('t', 'running', 1)), of(1, succeeded('t', 'at last'))), 0)
    await store.close()
    store = await at.open()
    assert.equal(await answer(store, 't'), 'at last')
    assert.equal((await store.get('t'))?.generation, 1)
    await store.close()
  })

  test('a result of a later generation replaces an earlier end, also without a note between', async () => {
    const store = await place().open()
    assert.equal(await apply(store, 0, succeeded('t', 'first'), of(2, ended('t', 'failed', 'no'))), 0)
    assert.deepEqual((await store.get('t'))?.status, {
      state: 'failed',
      finishedAtMs: 1_000,
      fault: { code: 'WORKER_FAILED', detail: 'no' },
    })
    assert.equal(await apply(store, 2, of(3, succeeded('t', 'third life'))), 0)
    assert.equal(await answer(store, 't'), 'third life')
    await store.close()
  })

  test('what is of an earlier generation is dropped, a result of it counted', async () => {
    const store = await place().open()
    await apply(store, 0, of(1, note('t', 'pending', 0)))
    assert.equal(await apply(store, 1, note('t', 'retrying', 4), succeeded('t', 'late')), 1)
    assert.equal((await store.get('t'))?.status.state, 'pending')
    await apply(store, 3, of(1, succeeded('t', 'now')))
    assert.equal(await apply(store, 4, ended('t', 'dead', 'late'), note('t', 'running', 9)), 1)
    assert.equal(await answer(store, 't'), 'now')
    await store.close()
  })

  test('within a generation the first result wins', async () => {
    const store = await place().open()
    await apply(store, 0, ended('t', 'dead', 'gave up'))
    assert.equal(await apply(store, 1, of(1, succeeded('t', 'first')), of(1, succeeded('t', 'second'))), 1)
    assert.equal(await apply(store, 3, of(1, note('t', 'running', 2))), 0)
    assert.equal(await answer(store, 't'), 'first')
    await store.close()
  })

  test('a new life leaves nothing of the old answer behind', async () => {
    const store = await place().open()
    const blob = { sha256: 'ab'.repeat(32), bytes: 9 }
    const large = { ...succeeded('t', ''), end: { ...succeeded('t', '').end, blob } } as Result
    await apply(store, 0, large, of(1, { ...note('t', 'retrying', 2), owner: 'operator' }))
    const reopened = await store.get('t')
    assert.equal(reopened?.owner, 'operator')
    assert.deepEqual(reopened?.status, { ...pick(note('t', 'retrying', 2)) })
    await apply(store, 2, of(2, succeeded('t', 'small')))
    const { status } = (await store.get('t'))!
    assert.ok(status.state === 'succeeded')
    assert.equal(status.blob, undefined)
    await store.close()
  })
}

function of<Fact extends Result | Note>(generation: number, fact: Fact): Fact {
  return { ...fact, generation }
}

function pick({ state, atMs, fault }: Note): Pick<Note, 'state' | 'atMs' | 'fault'> {
  return { state, atMs, fault }
}
