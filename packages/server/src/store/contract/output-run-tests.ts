import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Output } from '../../task.ts'
import { apply, type ContractPlace } from './contract-place.ts'
import { chunk, openOutputs, PAGE_BYTES, progress, RUN_A, RUN_B, read, said, shown } from './output-place.ts'

const B = { run: RUN_B, attempts: 2 } as const

export function outputRunTests(place: () => ContractPlace): void {
  test('what was said comes back as it was given: bytes, media type, moments, counts', async () => {
    const at = place()
    let { store, outputs } = await openOutputs(at)
    const payload = Buffer.from([0, 255, 10, 13, 128, 0])
    const bytes = { kind: 'chunk', payload, contentType: 'a/b; c="d"' } as const
    const taskId = 'kø/\u{1f980}'
    const unknown = { kind: 'progress', fraction: null, message: 'zählt \u{1f980}' } as const
    await apply(
      store,
      7,
      chunk(taskId, 1, '', { content: bytes, atMs: 1_001, attempts: 3, owner: '' }),
      chunk(taskId, 2, '', { atMs: 1_002, attempts: 3 }),
      progress(taskId, 2, '', { content: unknown, atMs: 1_003, attempts: 3 }),
    )
    await store.close()
    ;({ store, outputs } = await openOutputs(at))
    const kept = (await read(outputs, taskId))!
    const first = kept.outputs[0]!.content
    assert.ok(first.kind === 'chunk')
    assert.deepEqual([...first.payload], [...payload])
    assert.deepEqual(
      { ...kept, outputs: kept.outputs.map((one) => ({ ...one, content: plain(one.content) })) },
      {
        generation: 0,
        attempts: 3,
        head: { run: RUN_A, chunks: 2 },
        beganAt: 7,
        more: false,
        outputs: [
          { offset: 7, chunks: 1, atMs: 1_001, content: plain(bytes) },
          { offset: 8, chunks: 2, atMs: 1_002, content: { kind: 'chunk', payload: [], contentType: 'text/plain' } },
          { offset: 9, chunks: 2, atMs: 1_003, content: unknown },
        ],
      },
    )
    await store.close()
  })

  test('fractions come back exactly, also 0 and 1', async () => {
    const { store, outputs } = await openOutputs(place())
    for (const [n, fraction] of [0, 1, 0.1 + 0.2].entries()) {
      const content = { kind: 'progress', fraction, message: '' } as const
      await apply(store, n, progress(`t${n}`, 0, '', { content }))
      assert.deepEqual((await read(outputs, `t${n}`))?.outputs[0]?.content, content)
    }
    await store.close()
  })

  test('outputs alone make nothing known of a task', async () => {
    const { store, outputs } = await openOutputs(place())
    assert.equal(await apply(store, 0, chunk('t', 1, 'a')), 0)
    assert.equal(await store.get('t'), null)
    assert.equal(await read(outputs, 'other'), null)
    await store.close()
  })

  test('a progress replaces the one before it and stands at its own place', async () => {
    const { store, outputs } = await openOutputs(place())
    await apply(store, 0, progress('t', 0, 'begun'), chunk('t', 1, 'a', { first: false }), progress('t', 1, 'half'))
    assert.deepEqual(await said(outputs, 't'), ['1:a', '2!half'])
    await apply(store, 3, chunk('t', 2, 'b'), progress('t', 2, 'most'), progress('t', 2, 'all'))
    assert.deepEqual(await said(outputs, 't'), ['1:a', '3:b', '5!all'])
    assert.deepEqual([(await read(outputs, 't'))?.beganAt, (await read(outputs, 't'))?.head.chunks], [0, 2])
    await store.close()
  })

  test('the first of a new run replaces what was said before, across batches and within one', async () => {
    const { store, outputs } = await openOutputs(place())
    await apply(store, 0, chunk('t', 1, 'a'), chunk('t', 2, 'b'), progress('t', 2, 'half'))
    await apply(store, 3, chunk('t', 1, 'A', B))
    assert.deepEqual(await said(outputs, 't'), ['3:A'])
    const { head, beganAt, attempts } = (await read(outputs, 't'))!
    assert.deepEqual({ head, beganAt, attempts }, { head: { run: RUN_B, chunks: 1 }, beganAt: 3, attempts: 2 })
    const c = { run: 'cccccccccccccccc', attempts: 3 }
    await apply(
      store,
      4,
      chunk('t', 2, 'B', B),
      progress('t', 0, 'anew', c),
      chunk('t', 1, '1', { ...c, first: false }),
    )
    assert.deepEqual(await said(outputs, 't'), ['5!anew', '6:1'])
    await store.close()
  })

  const dropped: readonly (readonly [string, Output])[] = [
    ['the chunk before once more', chunk('t', 2, 'x')],
    ['the first once more', chunk('t', 1, 'x')],
    ['a chunk after a gap', chunk('t', 4, 'x')],
    ['a progress from before the last chunk', progress('t', 1, 'x')],
    ['a progress after a gap', progress('t', 3, 'x')],
    ['what another run says that did not begin', chunk('t', 3, 'x', B)],
    ['a first of another run that is not its first chunk', chunk('t', 2, 'x', { ...B, first: true })],
    ['a first progress of another run that has chunks already', progress('t', 1, 'x', { ...B, first: true })],
    ['a first chunk that does not say so', chunk('t', 1, 'x', { ...B, first: false })],
  ]
  for (const [name, output] of dropped) {
    test(`${name} is dropped, in the same batch and in a later one`, async () => {
      const { store, outputs } = await openOutputs(place())
      await apply(store, 0, chunk('t', 1, 'a'), chunk('t', 2, 'b'), output, chunk('t', 3, 'c'))
      assert.deepEqual(await said(outputs, 't'), ['0:a', '1:b', '3:c'])
      const later = { ...output, taskId: 'u' }
      await apply(store, 4, chunk('u', 1, 'a'), chunk('u', 2, 'b'))
      await apply(store, 6, later)
      await apply(store, 7, chunk('u', 3, 'c'))
      assert.deepEqual(await said(outputs, 'u'), ['4:a', '5:b', '7:c'])
      await store.close()
    })
  }

  test('what does not begin with the first of its run is not kept', async () => {
    const { store, outputs } = await openOutputs(place())
    await apply(store, 0, chunk('t', 2, 'b'), chunk('t', 3, 'c'), progress('t', 3, 'x'))
    assert.equal(await read(outputs, 't'), null)
    await apply(store, 3, chunk('t', 1, 'a', B), chunk('t', 4, 'd'))
    assert.deepEqual(await said(outputs, 't'), ['3:a'])
    await store.close()
  })

  test('a run that is told again by its first goes on where it was', async () => {
    const { store, outputs } = await openOutputs(place())
    await apply(store, 0, chunk('t', 1, 'a'))
    await apply(store, 1, chunk('t', 1, 'again'), chunk('t', 2, 'b'), chunk('t', 2, 'again'), chunk('t', 3, 'c'))
    assert.deepEqual(await said(outputs, 't'), ['0:a', '2:b', '4:c'])
    await store.close()
  })

  test('tasks are kept apart, however their outputs are mixed', async () => {
    const { store, outputs } = await openOutputs(place())
    const names = Array.from({ length: 50 }, (_, n) => `t${n}`)
    const facts = [1, 2, 3].flatMap((n) => names.map((name) => chunk(name, n, `${name} ${n}`)))
    await apply(store, 0, ...facts.slice(0, 77))
    await apply(store, 77, ...facts.slice(77))
    const bodies = await Promise.all(names.map((name) => said(outputs, name)))
    assert.deepEqual(
      bodies,
      names.map((name, n) => [1, 2, 3].map((round) => `${(round - 1) * 50 + n}:${name} ${round}`)),
    )
    await store.close()
  })

  test('a reader goes on from any offset, and past the end finds where the stream stands', async () => {
    const { store, outputs } = await openOutputs(place())
    await apply(store, 10, chunk('t', 1, 'a'), chunk('u', 1, 'x'), chunk('t', 2, 'b'), progress('t', 2, 'p'))
    assert.deepEqual(await said(outputs, 't', 9), ['10:a', '12:b', '13!p'])
    assert.deepEqual(await said(outputs, 't', 10), ['12:b', '13!p'])
    assert.deepEqual(await said(outputs, 't', 11), ['12:b', '13!p'])
    const atEnd = await read(outputs, 't', 13)
    assert.deepEqual([atEnd?.outputs, atEnd?.more, atEnd?.head], [[], false, { run: RUN_A, chunks: 2 }])
    assert.deepEqual((await read(outputs, 't', 1_000))?.outputs, [])
    await store.close()
  })

  test('a page ends once it holds the bytes that were asked for, and says that more follows', async () => {
    const { store, outputs } = await openOutputs(place())
    const bodies = Array.from({ length: 10 }, (_, n) => chunk('t', n + 1, `${n}`.repeat(10)))
    await apply(store, 0, ...bodies, progress('t', 10, 'é'.repeat(5)))
    const page = async (after: number, bytesMax: number) => {
      const { outputs: found, more, head } = (await outputs.read({ taskId: 't', after, bytesMax }))!
      assert.deepEqual(head, { run: RUN_A, chunks: 10 })
      return [found.map((one) => one.offset), more]
    }
    assert.deepEqual(await page(-1, 1), [[0], true])
    assert.deepEqual(await page(-1, 30), [[0, 1, 2], true])
    assert.deepEqual(await page(2, 31), [[3, 4, 5, 6], true])
    assert.deepEqual(await page(7, 20), [[8, 9], true])
    assert.deepEqual(await page(8, 20), [[9, 10], false])
    assert.deepEqual(await page(9, 1), [[10], false])
    assert.deepEqual(await page(10, 1), [[], false])
    await store.close()
  })

  test('a long stream of empty chunks is read page by page, all of it once', async () => {
    const { store, outputs } = await openOutputs(place())
    const facts = Array.from({ length: 2_500 }, (_, n) => chunk('t', n + 1, ''))
    await apply(store, 0, ...facts)
    const offsets: number[] = []
    for (let more = true, pages = 0; more; pages++) {
      assert.ok(pages < 100)
      const kept = (await outputs.read({ taskId: 't', after: offsets.at(-1) ?? -1, bytesMax: PAGE_BYTES }))!
      offsets.push(...kept.outputs.map((one) => one.offset))
      more = kept.more
    }
    assert.deepEqual(
      offsets,
      facts.map((_, n) => n),
    )
    await store.close()
  })

  test('large chunks go in and out whole', async () => {
    const { store, outputs } = await openOutputs(place())
    const large = 'é'.repeat(128 * 1024)
    await apply(store, 0, chunk('t', 1, large), chunk('t', 2, 'small'))
    const kept = (await outputs.read({ taskId: 't', after: -1, bytesMax: 1 }))!
    assert.equal(shown(kept.outputs[0]!), `0:${large}`)
    assert.deepEqual([kept.outputs.length, kept.more], [1, true])
    await store.close()
  })
}

/** Bytes as numbers, whatever kind of array holds them. */
function plain(content: Output['content']): unknown {
  return content.kind === 'chunk' ? { ...content, payload: [...content.payload] } : content
}
