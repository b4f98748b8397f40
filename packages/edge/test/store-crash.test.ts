import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { EDGE_TOPIC } from '@forebay/edge'
import { openLog, random, temporaryFolder } from './edge-rig.ts'
import { query } from './store-rig.ts'

const PROGRAM = fileURLToPath(new URL('./crashing-store.ts', import.meta.url))
const CRASHES = process.env.E2E_LONG === '1' ? 60 : 3

test('killed with -9 at any moment, while it writes, merges and removes: every row is there, and once', async () => {
  using folder = temporaryFolder()
  for (let crash = 0; crash < CRASHES; crash++) {
    const child = spawn(process.execPath, [PROGRAM, folder.path], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(child.stdout, 'data')
    await new Promise((resolve) => setTimeout(resolve, random.unit() * 1_000))
    child.kill('SIGKILL')
    await once(child, 'close')
  }
  const broker = await openLog(folder.path)
  const [{ end }] = (await broker.inspect({ topics: [EDGE_TOPIC] })) as unknown as [{ end: number }]
  await broker.close()
  assert.ok(end > 0)
  const last = spawn(process.execPath, [PROGRAM, folder.path, String(end + 5)], { stdio: 'inherit' })
  assert.deepEqual(await once(last, 'close'), [0, null])
  const rows = Math.floor(((end + 4) * 3) / 4) + 1
  assert.deepEqual(await query(folder.path, 'SELECT count(*), count(DISTINCT path), max(first_byte) FROM access'), [
    [rows, rows, (rows - 1) * 100],
  ])
  assert.deepEqual(await query(folder.path, "SELECT count(*) FROM access WHERE path <> '/' || first_byte // 100"), [
    [0],
  ])
})
