import assert from 'node:assert/strict'
import { test } from 'node:test'
import { answer, apply, type ContractPlace, entries, succeeded, TOPIC } from './contract-place.ts'
import { chunk, openOutputs, progress, RUN_B, read, said } from './output-place.ts'

export function outputPositionTests(place: () => ContractPlace): void {
  test('a batch that is read again from below the position changes nothing', async () => {
    const { store, outputs } = await openOutputs(place())
    const first = chunk('t', 1, 'a')
    const second = { ...chunk('t', 1, 'A'), run: RUN_B }
    await apply(store, 0, first, second)
    await apply(store, 0, first)
    await apply(store, 0, first, second, chunk('t', 2, 'B', { run: RUN_B }))
    assert.deepEqual(await said(outputs, 't'), ['1:A', '2:B'])
    assert.deepEqual(await store.positions(TOPIC), new Map([[0, 3]]))
    await store.close()
  })

  test('a batch that starts above the position is refused with all its outputs', async () => {
    const { store, outputs } = await openOutputs(place())
    await apply(store, 0, chunk('t', 1, 'a'))
    const batch = { topic: TOPIC, partition: 0, from: 2, next: 3, entries: entries(2, chunk('t', 2, 'b')) }
    assert.deepEqual(await store.apply(batch), { kind: 'behind', position: 1 })
    assert.deepEqual(await said(outputs, 't'), ['0:a'])
    await store.close()
  })

  test('batches that are applied at once keep their order', async () => {
    const { store, outputs } = await openOutputs(place())
    await Promise.all([
      apply(store, 0, chunk('t', 1, 'a')),
      apply(store, 1, chunk('t', 2, 'b'), progress('t', 2, 'p')),
      apply(store, 3, chunk('t', 1, 'A', { run: RUN_B })),
      apply(store, 4, chunk('t', 2, 'B', { run: RUN_B }), succeeded('t', 'done'), chunk('t', 3, 'C', { run: RUN_B })),
    ])
    assert.deepEqual(await said(outputs, 't'), ['3:A', '4:B'])
    assert.equal(await answer(store, 't'), 'done')
    await store.close()
  })

  test('a rebuild forgets what was said, and the log says the same again', async () => {
    const at = place()
    let { store, outputs } = await openOutputs(at)
    const facts = [
      chunk('t', 1, 'a'),
      chunk('u', 1, 'x'),
      chunk('t', 1, 'A', { run: RUN_B }),
      progress('t', 1, 'p', { run: RUN_B }),
      succeeded('u', 'done'),
      chunk('u', 2, 'late'),
    ]
    await apply(store, 0, ...facts)
    const before = [await read(outputs, 't'), await read(outputs, 'u')]
    await store.rebuild(TOPIC)
    assert.equal(await read(outputs, 't'), null)
    assert.equal(await read(outputs, 'u'), null)
    await store.close()
    ;({ store, outputs } = await openOutputs(at))
    await apply(store, 0, ...facts.slice(0, 4))
    await apply(store, 4, ...facts.slice(4))
    assert.deepEqual([await read(outputs, 't'), await read(outputs, 'u')], before)
    await store.close()
  })

  test('what is not open says so', async () => {
    const store = place().connect()
    await assert.rejects(read(store.outputs!, 't'), { code: 'CLOSED' })
    await store.open()
    await store.close()
    await assert.rejects(read(store.outputs!, 't'), { code: 'CLOSED' })
  })
}
