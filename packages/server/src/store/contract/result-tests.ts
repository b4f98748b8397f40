import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { StoredTask } from '../store.ts'
import { answer, apply, type ContractPlace, ended, entries, note, succeeded, TOPIC } from './contract-place.ts'

export function resultTests(place: () => ContractPlace): void {
  test('the first result wins within a batch, and the second is counted', async () => {
    const store = await place().open()
    assert.equal(await apply(store, 0, succeeded('t', 'first'), succeeded('t', 'second'), succeeded('u', 'only')), 1)
    assert.equal(await answer(store, 't'), 'first')
    assert.equal(await answer(store, 'u'), 'only')
    await store.close()
  })

  test('the first result wins across batches, partitions and reopening', async () => {
    const at = place()
    let store = await at.open()
    assert.equal(await apply(store, 0, ended('t', 'dead', 'gave up')), 0)
    assert.equal(await apply(store, 1, succeeded('t', 'late')), 1)
    const elsewhere = {
      topic: TOPIC,
      partition: 7,
      from: null,
      next: 1,
      entries: entries(0, succeeded('t', 'elsewhere')),
    }
    assert.deepEqual(await store.apply(elsewhere), { kind: 'applied', duplicates: 1 })
    await store.close()
    store = await at.open()
    assert.equal(await apply(store, 2, succeeded('t', 'after')), 1)
    assert.equal(await answer(store, 't'), 'dead')
    await store.close()
  })

  test('batches that are applied at once keep their order', async () => {
    const store = await place().open()
    const reports = await Promise.all([
      apply(store, 0, succeeded('t', 'first')),
      apply(store, 1, succeeded('t', 'second')),
      apply(store, 2, succeeded('t', 'third'), succeeded('u', 'only')),
    ])
    assert.deepEqual(reports, [0, 1, 1])
    assert.equal(await answer(store, 't'), 'first')
    await store.close()
  })

  test('a result comes back as it was given: bytes, media type, moments, fault', async () => {
    const store = await place().open()
    const payload = Buffer.from([0, 255, 10, 13, 128, 0])
    const bytes = {
      ...succeeded('bytes', ''),
      end: { state: 'succeeded' as const, payload, contentType: 'a/b; c="d"' },
    }
    const unusual = { ...ended('kø/\u{1f980}', 'expired', 'zu spät \u{1f980}'), owner: '', queue: 'ä' }
    await apply(store, 0, bytes, unusual, succeeded('empty', ''))
    assert.deepEqual(plain(await store.get('bytes')), {
      taskId: 'bytes',
      queue: 'orders',
      owner: 'anna',
      attempts: 1,
      generation: 0,
      status: { state: 'succeeded', finishedAtMs: 1_000, payload: [0, 255, 10, 13, 128, 0], contentType: 'a/b; c="d"' },
    })
    assert.deepEqual(await store.get('kø/\u{1f980}'), {
      taskId: 'kø/\u{1f980}',
      queue: 'ä',
      owner: '',
      attempts: 3,
      generation: 0,
      status: { state: 'expired', finishedAtMs: 1_000, fault: { code: 'WORKER_FAILED', detail: 'zu spät \u{1f980}' } },
    })
    assert.equal(await answer(store, 'empty'), '')
    await store.close()
  })

  test('nothing is known of an unknown task', async () => {
    const store = await place().open()
    assert.equal(await store.get('nobody'), null)
    assert.equal(await store.get(''), null)
    assert.deepEqual(await Promise.all(Array.from({ length: 300 }, (_, n) => store.get(`${n}`))), Array(300).fill(null))
    await store.close()
  })

  test('many reads at once each get their own task', async () => {
    const store = await place().open()
    const names = Array.from({ length: 1_000 }, (_, n) => `t${n}`)
    await apply(store, 0, ...names.map((name) => succeeded(name, `answer of ${name}`)))
    const answers = await Promise.all(names.map((name) => answer(store, name)))
    assert.deepEqual(
      answers,
      names.map((name) => `answer of ${name}`),
    )
    await store.close()
  })

  test('a later note replaces an earlier one, and a result replaces both', async () => {
    const store = await place().open()
    await apply(store, 0, note('t', 'running', 1))
    assert.deepEqual((await store.get('t'))?.status, { state: 'running', atMs: 1_000, fault: null })
    await apply(store, 1, note('t', 'retrying', 1, 1_001))
    const fault = { code: 'WORKER_FAILED', detail: 'attempt 1 failed' }
    assert.deepEqual((await store.get('t'))?.status, { state: 'retrying', atMs: 1_001, fault })
    await apply(store, 2, note('t', 'running', 2, 1_002))
    assert.equal((await store.get('t'))?.attempts, 2)
    await apply(store, 3, succeeded('t', 'done'))
    assert.equal(await answer(store, 't'), 'done')
    await store.close()
  })

  test('a note never replaces a result and is no duplicate', async () => {
    const store = await place().open()
    assert.equal(await apply(store, 0, succeeded('t', 'done'), note('t', 'running', 2)), 0)
    assert.equal(await apply(store, 2, note('t', 'retrying', 3)), 0)
    assert.equal(await answer(store, 't'), 'done')
    await store.close()
  })

  test('every open state is known, each with its fault', async () => {
    const store = await place().open()
    const fault = { code: 'ATTEMPT_TIMED_OUT', detail: 'zu spät \u{1f980}' } as const
    for (const [offset, state] of (['pending', 'running', 'retrying', 'parked'] as const).entries()) {
      await apply(
        store,
        2 * offset,
        { ...note(state, state, 3), fault: null },
        { ...note(`${state}!`, state, 4), fault },
      )
      assert.deepEqual((await store.get(state))?.status, { state, atMs: 1_000, fault: null })
      const found = (await store.get(`${state}!`))!
      assert.deepEqual([found.attempts, found.status], [4, { state, atMs: 1_000, fault }])
    }
    await store.close()
  })

  test('an answer that is kept elsewhere comes back with its name', async () => {
    const at = place()
    let store = await at.open()
    const blob = { sha256: '0123456789abcdef'.repeat(4), bytes: 2 ** 40 }
    const end = { state: 'succeeded' as const, payload: Buffer.alloc(0), contentType: 'image/png', blob }
    await apply(store, 0, { ...succeeded('large', ''), end }, succeeded('small', 'x'))
    await store.close()
    store = await at.open()
    const large = (await store.get('large'))!.status
    const small = (await store.get('small'))!.status
    assert.ok(large.state === 'succeeded' && small.state === 'succeeded')
    assert.deepEqual([large.blob, large.payload.length, large.contentType], [blob, 0, 'image/png'])
    assert.equal(small.blob, undefined)
    await store.close()
  })

  test('any log, read in any batches with repetitions, gives the same answers as read once', async () => {
    const fact = fc.record({ task: fc.nat(5), result: fc.boolean(), value: fc.nat(1_000), generation: fc.nat(2) })
    const readings = fc.array(fc.record({ from: fc.nat(30), to: fc.nat(30) }), { maxLength: 12 })
    const store = await place().open()
    let partition = 0
    await fc.assert(
      fc.asyncProperty(fc.array(fact, { minLength: 1, maxLength: 30 }), readings, async (log, cuts) => {
        partition += 1
        const facts = log.map(({ task, result, value, generation }) => {
          const taskId = `${partition}-${task}`
          const fact = result ? succeeded(taskId, `${value}`) : note(taskId, 'running', value)
          return { ...fact, generation }
        })
        let position = 0
        for (const { from, to } of [...cuts, { from: 0, to: facts.length }]) {
          const first = Math.min(from, position)
          const next = Math.min(Math.max(first, to), facts.length)
          await store.apply({
            topic: TOPIC,
            partition,
            from: position === 0 ? null : first,
            next,
            entries: entries(first, ...facts.slice(first, next)),
          })
          position = Math.max(position, next)
        }
        for (const taskId of new Set(facts.map((one) => one.taskId))) {
          const found = (await store.get(taskId))!
          const lives = facts.filter((one) => one.taskId === taskId)
          const generation = Math.max(...lives.map((one) => one.generation))
          const mine = lives.filter((one) => one.generation === generation)
          const end = mine.find((one) => 'end' in one)
          const { status, attempts } = found
          assert.equal(found.generation, generation)
          if (end === undefined) assert.deepEqual([status.state, attempts], ['running', mine.at(-1)!.attempts])
          else assert.deepEqual(plain({ status }), plain({ status: { ...end.end, finishedAtMs: 1_000 } }))
        }
      }),
      { numRuns: 200 },
    )
    await store.close()
  })
}

/** Bytes as numbers, whatever kind of array holds them. */
function plain(task: Pick<StoredTask, 'status'> | null): unknown {
  if (task === null || task.status.state !== 'succeeded') return task
  return { ...task, status: { ...task.status, payload: [...task.status.payload] } }
}
