import assert from 'node:assert/strict'
import { test } from 'node:test'
import pg from 'pg'
import { startPostgres } from '../../../scripts/rig/postgres.ts'
import { apply, ended, note, succeeded } from '../src/store/contract/contract-place.ts'
import { postgresStore } from '../src/store/postgres/postgres.ts'
import type { Result } from '../src/task.ts'

test('another service reads results with plain SQL and a right to nothing else', async () => {
  await using server = await startPostgres()
  const store = postgresStore({ url: server.url, retentionMs: 60_000, sweepIntervalMs: 3_600_000 })
  await store.open()
  const blob = { sha256: 'ab'.repeat(32), bytes: 5_000_000 }
  const large: Result = {
    ...succeeded('large', '', 2_500),
    end: { state: 'succeeded', payload: new Uint8Array(), contentType: 'video/mp4', blob },
  }
  await apply(
    store,
    0,
    succeeded('done', 'héllo', 1_234),
    ended('lost', 'dead', 'no worker'),
    large,
    note('t', 'running', 1),
  )

  const admin = new pg.Client(server.url)
  await admin.connect()
  await admin.query(`CREATE ROLE reader LOGIN PASSWORD 'reader'; GRANT USAGE ON SCHEMA forebay TO reader;
    GRANT SELECT ON forebay.forebay_results TO reader`)
  await admin.end()
  const url = new URL(server.url)
  url.username = url.password = 'reader'
  const reader = new pg.Client(url.href)
  await reader.connect()
  const { rows } = await reader.query('SELECT * FROM forebay.forebay_results ORDER BY finished_at DESC')
  const common = { queue: 'orders', owner: 'anna', generation: 0 }
  const nothing = {
    content_type: null,
    payload: null,
    blob_sha256: null,
    blob_bytes: null,
    fault_code: null,
    fault_detail: null,
  }
  assert.deepEqual(rows, [
    {
      ...common,
      ...nothing,
      task_id: 'large',
      state: 'succeeded',
      attempts: 1,
      finished_at: new Date(2_500),
      content_type: 'video/mp4',
      payload: Buffer.alloc(0),
      blob_sha256: blob.sha256,
      blob_bytes: '5000000',
    },
    {
      ...common,
      ...nothing,
      task_id: 'done',
      state: 'succeeded',
      attempts: 1,
      finished_at: new Date(1_234),
      content_type: 'text/plain',
      payload: Buffer.from('héllo'),
    },
    {
      ...common,
      ...nothing,
      task_id: 'lost',
      state: 'dead',
      attempts: 3,
      finished_at: new Date(1_000),
      fault_code: 'WORKER_FAILED',
      fault_detail: 'no worker',
    },
  ])
  await assert.rejects(reader.query('SELECT * FROM forebay.tasks'), { code: '42501' })
  await assert.rejects(reader.query("DELETE FROM forebay.forebay_results WHERE task_id = 'done'"), { code: '42501' })
  await reader.end()
  await store.close()
})
