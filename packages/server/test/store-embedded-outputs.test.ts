import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { entries, type Fact, TOPIC } from '../src/store/contract/contract-place.ts'
import { chunk, read } from '../src/store/contract/output-place.ts'
import { embeddedStore } from '../src/store/embedded/embedded.ts'
import type { Store } from '../src/store/store.ts'
import { folder, result } from './support/results-rig.ts'

const MEBIBYTE = 1024 * 1024

test('a file that grew too large loses old results with what their tasks said, then what the quietest others said', async (t) => {
  const retentionBytes = 4 * MEBIBYTE
  const store = embeddedStore({ dir: folder(t), retentionMs: 3_600_000, retentionBytes, sweepIntervalMs: 1 })
  await store.open()
  t.after(() => store.close())
  const nowMs = Date.now()
  const body = 'x'.repeat(100 * 1024)
  const said = (taskId: string, n: number) => chunk(taskId, n, body, { atMs: nowMs - 20_000 + n })
  const ended = Array.from({ length: 10 }, (_, n) => `ended-${n}`)
  const open = Array.from({ length: 10 }, (_, n) => `open-${n}`)
  await applyAll(store, 0, [
    ...open.slice(0, 5).flatMap((taskId) => [1, 2].map((n) => said(taskId, n))),
    ...ended.flatMap((taskId, n) => [said(taskId, 1), { ...result(taskId, 'done'), finishedAtMs: nowMs - 10_000 + n }]),
  ])
  assert.equal((await read(store.outputs!, 'ended-0'))?.outputs.length, 1, 'there is room for all of it')
  await applyAll(
    store,
    30,
    open.slice(5).flatMap((taskId) => Array.from({ length: 5 }, (_, n) => said(taskId, n + 1))),
  )
  while ((await store.get('ended-0')) !== null) await sleep(1)
  assert.equal(await read(store.outputs!, 'ended-0'), null)
  assert.equal((await read(store.outputs!, 'open-0'))?.outputs.length, 2, 'of one that still runs, while others ended')
  const more = Array.from({ length: 20 }, (_, n) => said('loud', n + 1))
  await applyAll(store, 55, more)
  while ((await read(store.outputs!, 'open-0')) !== null) await sleep(1)
  assert.equal(await store.get('ended-9'), null)
  assert.equal((await read(store.outputs!, 'loud'))?.head.chunks, 20, 'the youngest stays')
})

async function applyAll(store: Store, first: number, facts: readonly Fact[]): Promise<void> {
  const batch = { topic: TOPIC, partition: 0, from: first === 0 ? null : first, next: first + facts.length }
  const report = await store.apply({ ...batch, entries: entries(first, ...facts) })
  assert.equal(report.kind, 'applied')
}
