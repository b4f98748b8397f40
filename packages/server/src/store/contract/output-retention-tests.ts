import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { apply, type ContractPlace, note, RETENTION_MS, succeeded } from './contract-place.ts'
import { chunk, openOutputs, progress, said } from './output-place.ts'

export function outputRetentionTests(place: () => ContractPlace): void {
  test('what a task has said goes with its result, however long before it was said', async () => {
    const at = place()
    const { store, outputs } = await openOutputs(at)
    const nowMs = at.clock.wallMs()
    await apply(store, 0, chunk('t', 1, 'a', { atMs: nowMs }), chunk('witness', 1, 'x', { atMs: nowMs }))
    at.clock.advance(RETENTION_MS / 2)
    await apply(store, 2, succeeded('t', 'done', at.clock.wallMs()))
    at.clock.advance(RETENTION_MS / 2 + 1)
    await until(at, async () => (await said(outputs, 'witness')) === null)
    for (let sweeps = 0; sweeps < 3; sweeps++) await nextSweep(at)
    assert.deepEqual(await said(outputs, 't'), ['0:a'])
    at.clock.advance(RETENTION_MS / 2)
    await until(at, async () => (await store.get('t')) === null)
    assert.equal(await said(outputs, 't'), null)
    await store.close()
  })

  test('what an unfinished task has said goes the retention after its last output', async () => {
    const at = place()
    const { store, outputs } = await openOutputs(at)
    const nowMs = at.clock.wallMs()
    const begun = [chunk('t', 1, 'a', { atMs: nowMs }), chunk('quiet', 1, 'x', { atMs: nowMs })]
    await apply(store, 0, note('quiet', 'running', 1, nowMs), ...begun)
    at.clock.advance(RETENTION_MS / 2)
    await apply(store, 3, progress('t', 1, 'still there', { atMs: at.clock.wallMs() }))
    at.clock.advance(RETENTION_MS / 2 + 1)
    await until(at, async () => (await said(outputs, 'quiet')) === null)
    assert.notEqual(await store.get('quiet'), null)
    assert.deepEqual(await said(outputs, 't'), ['1:a', '3!still there'])
    at.clock.advance(RETENTION_MS / 2)
    await until(at, async () => (await said(outputs, 't')) === null)
    await apply(store, 4, chunk('t', 2, 'b'))
    assert.equal(await said(outputs, 't'), null, 'nobody knows any more what came before')
    await store.close()
  })

  test('an output that claims to come from the future does not stay for ever', async () => {
    const at = place()
    const { store, outputs } = await openOutputs(at)
    await apply(store, 0, chunk('t', 1, 'a', { atMs: Number.MAX_SAFE_INTEGER }))
    at.clock.advance(RETENTION_MS + 1)
    await until(at, async () => (await said(outputs, 't')) === null)
    await store.close()
  })

  test('many that are old go, long ones too', async () => {
    const at = place()
    const { store, outputs } = await openOutputs(at)
    const atMs = at.clock.wallMs()
    const names = Array.from({ length: 300 }, (_, n) => `t${n}`)
    const facts = names.flatMap((name) => [1, 2, 3].map((n) => chunk(name, n, 'x'.repeat(2_000), { atMs })))
    await apply(store, 0, ...facts, ...names.slice(0, 150).map((name) => succeeded(name, 'done', atMs)))
    at.clock.advance(RETENTION_MS + 1)
    await until(at, async () =>
      (await Promise.all(names.map((name) => said(outputs, name)))).every((one) => one === null),
    )
    await store.close()
  })
}

/** The sweep runs beside the calls: gives it time until it has come by. */
async function until(at: ContractPlace, done: () => Promise<boolean>): Promise<void> {
  while (!(await done())) await nextSweep(at)
}

async function nextSweep(at: ContractPlace): Promise<void> {
  at.clock.advance(at.options.sweepIntervalMs)
  await sleep(1)
}
