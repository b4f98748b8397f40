import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { embeddedStore } from '../src/store/embedded/embedded.ts'
import type { Store } from '../src/store/store.ts'
import { folder, openStore, result } from './support/results-rig.ts'

const MEBIBYTE = 1024 * 1024

test('a second process on the same folder is refused, naming folder and owner', async (t) => {
  const dir = folder(t)
  const program = join(folder(t), 'owner.mjs')
  const embedded = new URL('../src/store/embedded/embedded.ts', import.meta.url).href
  writeFileSync(
    program,
    `import { embeddedStore } from ${JSON.stringify(embedded)}
     await embeddedStore({ dir: ${JSON.stringify(dir)}, retentionMs: 1000 }).open()
     process.stdout.write('open')`,
  )
  const owner = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => owner.kill('SIGKILL'))
  await Promise.race([once(owner.stdout, 'data'), once(owner, 'exit')])
  await assert.rejects(embeddedStore({ dir, retentionMs: 1_000 }).open(), {
    code: 'DATA_IN_USE',
    members: { folder: dir, pid: owner.pid },
  })
  owner.kill('SIGKILL')
  await once(owner, 'exit')
  await openStore(t, dir)
})

test('a file that is no store, or of another version, is refused and left as it is', async (t) => {
  const damaged = folder(t)
  const noise = Buffer.alloc(8_192, 'not a database ')
  writeFileSync(join(damaged, 'store.db'), noise)
  await assert.rejects(embeddedStore({ dir: damaged, retentionMs: 1_000 }).open(), { code: 'DATA_CORRUPT' })
  assert.equal(statSync(join(damaged, 'store.db')).size, noise.length)

  const newer = join(folder(t), 'deep', 'er')
  mkdirSync(newer, { recursive: true })
  const database = new DatabaseSync(join(newer, 'store.db'))
  database.exec('PRAGMA user_version = 99')
  database.close()
  await assert.rejects(embeddedStore({ dir: newer, retentionMs: 1_000 }).open(), {
    code: 'DATA_CORRUPT',
    message: /99/,
  })
})

test('options that make no sense are refused by name', () => {
  assert.throws(() => embeddedStore({ dir: '', retentionMs: 1 }), { code: 'CONFIG_INVALID', message: /^dir: / })
  assert.throws(() => embeddedStore({ dir: 'x', retentionMs: -1 }), {
    code: 'CONFIG_INVALID',
    message: /^retentionMs: -1/,
  })
})

test('beyond its bound in bytes the oldest results go, the file stays bounded, and unfinished tasks stay known', async (t) => {
  const dir = folder(t)
  const store = embeddedStore({ dir, retentionMs: 3_600_000, retentionBytes: 4 * MEBIBYTE, sweepIntervalMs: 1 })
  await store.open()
  t.after(() => store.close())
  const about = { taskId: 'open', queue: 'q', owner: 'o', attempts: 1, generation: 0 }
  const note = { ...about, state: 'running' as const, atMs: 1, fault: null }
  const payload = 'x'.repeat(64 * 1024)
  const nowMs = Date.now()
  for (let round = 0; round < 12; round++) {
    const results = Array.from({ length: 32 }, (_, n) => {
      const order = round * 32 + n
      return { ...result(`t${order}`, payload), finishedAtMs: nowMs - 10_000 + order }
    })
    await applyAll(store, round * 32, results)
    while (sizeOf(dir) > 16 * MEBIBYTE) await sleep(1)
  }
  await store.apply({
    topic: 'r',
    partition: 1,
    from: null,
    next: 1,
    entries: [{ kind: 'note', offset: 0, note: { ...note, atMs: nowMs } }],
  })
  while ((await store.get('t300')) !== null) await sleep(1)
  assert.equal(await store.get('t0'), null)
  assert.notEqual(await store.get('t383'), null, 'the youngest stays')
  assert.notEqual(await store.get('open'), null)
})

test('results of many megabytes go in and out whole', async (t) => {
  const store = await openStore(t)
  const body = 'é'.repeat(4 * MEBIBYTE)
  await applyAll(store, 0, [result('large', body), result('small', 'x')])
  const task = await store.get('large')
  assert.ok(task?.status.state === 'succeeded')
  assert.ok(Buffer.from(task.status.payload).equals(Buffer.from(body)))
})

async function applyAll(store: Store, first: number, results: readonly ReturnType<typeof result>[]): Promise<void> {
  const entries = results.map((one, index) => ({ kind: 'result' as const, offset: first + index, result: one }))
  await store.apply({ topic: 'r', partition: 0, from: null, next: first + results.length, entries })
}

function sizeOf(dir: string): number {
  return statSync(join(dir, 'store.db')).size
}
