import assert from 'node:assert/strict'
import { test } from 'node:test'
import { answer, apply, type ContractPlace, ended, note, succeeded } from './contract-place.ts'
import { chunk, openOutputs, progress, RUN_B, read, said } from './output-place.ts'

/** Of the task's second life. */
const LATER = { generation: 1, run: RUN_B } as const

export function outputGenerationTests(place: () => ContractPlace): void {
  test('what was said before the result stays beside it, what is said after it is dropped: in one batch', async () => {
    const { store, outputs } = await openOutputs(place())
    const facts = [chunk('t', 1, 'a'), succeeded('t', 'done'), chunk('t', 2, 'b'), chunk('t', 1, 'c', { run: RUN_B })]
    assert.equal(await apply(store, 0, ...facts), 0)
    assert.deepEqual(await said(outputs, 't'), ['0:a'])
    assert.equal(await answer(store, 't'), 'done')
    await store.close()
  })

  test('what is said after the result is dropped: in later batches, also after reopening', async () => {
    const at = place()
    let { store, outputs } = await openOutputs(at)
    await apply(store, 0, chunk('t', 1, 'a'))
    await apply(store, 1, ended('t', 'failed', 'no'), ended('u', 'dead', 'no'))
    await apply(store, 3, chunk('t', 2, 'b'), chunk('t', 1, 'c', { run: RUN_B }), chunk('u', 1, 'd'))
    await store.close()
    ;({ store, outputs } = await openOutputs(at))
    await apply(store, 6, progress('t', 1, 'late'), chunk('u', 1, 'e', { run: RUN_B }))
    assert.deepEqual(await said(outputs, 't'), ['0:a'])
    assert.equal(await read(outputs, 'u'), null)
    await store.close()
  })

  test('notes leave what was said alone, and what was said leaves notes and results alone', async () => {
    const { store, outputs } = await openOutputs(place())
    await apply(store, 0, note('t', 'running', 1), chunk('t', 1, 'a'), note('t', 'retrying', 1), chunk('t', 2, 'b'))
    assert.equal(await answer(store, 't'), 'retrying')
    await apply(store, 4, note('t', 'parked', 1))
    assert.deepEqual(await said(outputs, 't'), ['1:a', '3:b'])
    assert.equal(await apply(store, 5, chunk('t', 3, 'c'), succeeded('t', 'done'), succeeded('t', 'again')), 1)
    assert.deepEqual(await said(outputs, 't'), ['1:a', '3:b', '5:c'])
    await store.close()
  })

  test('a later generation begins anew: from its note on nothing earlier is read, nor taken', async () => {
    const { store, outputs } = await openOutputs(place())
    await apply(store, 0, chunk('t', 1, 'a'), ended('t', 'dead', 'no'))
    await apply(store, 2, { ...note('t', 'pending', 0), generation: 1 })
    assert.equal(await read(outputs, 't'), null)
    await apply(store, 3, chunk('t', 1, 'zombie', { run: 'cccccccccccccccc' }), chunk('t', 2, 'b'))
    assert.equal(await read(outputs, 't'), null)
    await apply(store, 5, chunk('t', 1, 'new', LATER), chunk('t', 1, 'zombie'))
    assert.deepEqual(await said(outputs, 't'), ['5:new'])
    assert.deepEqual([(await read(outputs, 't'))?.generation, (await read(outputs, 't'))?.beganAt], [1, 5])
    await apply(store, 7, { ...succeeded('t', 'done'), generation: 1 }, chunk('t', 2, 'late', LATER))
    assert.deepEqual(await said(outputs, 't'), ['5:new'])
    await store.close()
  })

  test('all lives of a task in one batch leave what the last one said', async () => {
    const { store, outputs } = await openOutputs(place())
    const pending = { ...note('t', 'pending', 0), generation: 1 }
    const again = chunk('t', 1, 'b', LATER)
    await apply(store, 0, chunk('t', 1, 'a'), ended('t', 'dead', 'no'), chunk('t', 2, 'late'), pending, again)
    assert.deepEqual(await said(outputs, 't'), ['4:b'])
    const third = { ...ended('t', 'dead', 'no'), generation: 2 }
    await apply(store, 5, chunk('t', 2, 'c', LATER), third, chunk('t', 3, 'd', LATER))
    assert.equal(await read(outputs, 't'), null)
    await store.close()
  })

  test('an output of a later generation counts before anything else of it is known', async () => {
    const { store, outputs } = await openOutputs(place())
    await apply(store, 0, chunk('t', 1, 'a'), ended('t', 'dead', 'no'))
    await apply(store, 2, chunk('t', 2, 'not the first', { generation: 1 }), chunk('t', 1, 'b', LATER))
    assert.deepEqual(await said(outputs, 't'), ['3:b'])
    await apply(store, 4, chunk('t', 1, 'zombie', { run: 'cccccccccccccccc' }))
    assert.deepEqual(await said(outputs, 't'), ['3:b'])
    await store.close()
  })

  test('a run that goes by the same name in a later generation is another one', async () => {
    const { store, outputs } = await openOutputs(place())
    await apply(store, 0, chunk('t', 1, 'a'), chunk('t', 2, 'b'))
    await apply(store, 2, chunk('t', 3, 'c', { generation: 1 }))
    assert.deepEqual(await said(outputs, 't'), ['0:a', '1:b'])
    await apply(store, 3, chunk('t', 1, 'A', { generation: 1 }))
    assert.deepEqual(await said(outputs, 't'), ['3:A'])
    await store.close()
  })
}
