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

  test('what lies below the position is not applied again', async () => {
    const store = await place().open()
    await apply(store, 10, note('t', 'running', 1), note('t', 'retrying', 1))
    assert.equal(await apply(store, 10, note('t', 'running', 1)), 0)
    assert.equal(await answer(store, 't'), 'retrying')
    assert.equal(await apply(store, 11, note('t', 'running', 9), succeeded('u', 'x')), 0)
    assert.equal(await answer(store, 't'), 'retrying')
    assert.equal(await apply(store, 12, succeeded('u', 'x'), succeeded('v', 'y')), 0, 'read again is no duplicate')
    assert.equal(await answer(store, 'v'), 'y')
    assert.deepEqual(await store.positions(TOPIC), new Map([[0, 14]]))
    await store.close()
  })

  test('positions move with the batches, also with empty ones, per topic and partition', async () => {
    const at = place()
    let store = await at.open()
    assert.deepEqual(await store.positions(TOPIC), new Map())
    await apply(store, 5, succeeded('t', 'done'))
    await store.apply({ topic: TOPIC, partition: 3, from: null, next: 40, entries: [] })
    await store.apply({ topic: 'other', partition: 3, from: null, next: 7, entries: [] })
    await store.close()
    store = await at.open()
    const expected = new Map([
      [0, 6],
      [3, 40],
    ])
    assert.deepEqual(await store.positions(TOPIC), expected)
    assert.deepEqual(await store.positions('other'), new Map([[3, 7]]))
    await store.close()
  })

  test('any log, read in any batches with repetitions, gives the same answers as read once', async () => {
    const fact = fc.record({ task: fc.nat(5), result: fc.boolean(), value: fc.nat(1_000) })
    const readings = fc.array(fc.record({ from: fc.nat(30), to: fc.nat(30) }), { maxLength: 12 })
    const store = await place().open()
    let partition = 0
    await fc.assert(
      fc.asyncProperty(fc.array(fact, { minLength: 1, maxLength: 30 }), readings, async (log, cuts) => {
        partition += 1
        const facts = log.map(({ task, result, value }) =>
          result ? succeeded(`${partition}-${task}`, `${value}`) : note(`${partition}-${task}`, 'running', value),
        )
        let position = 0
        for (const { from, to } of [...cuts, { from: 0, to: facts.length }]) {
          const first = Math.min(from, position)
          const next = Math.min(Math.max(first, to), facts.length)
          await store.apply({
            topic: TOPIC,
            partition,
            from: null,
            next,
            entries: entries(first, ...facts.slice(first, next)),
          })
          position = Math.max(position, next)
        }
        for (const taskId of new Set(facts.map((one) => one.taskId))) {
          const mine = facts.filter((one) => one.taskId === taskId)
          const end = mine.find((one) => 'end' in one)
          const { status, attempts } = (await store.get(taskId))!
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
