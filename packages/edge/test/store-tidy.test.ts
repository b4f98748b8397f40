import assert from 'node:assert/strict'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import type { LogFile } from '../src/store/catalogue.ts'
import { mergeable } from '../src/store/compaction.ts'
import { clock, openLog, temporaryFolder } from './edge-rig.ts'
import { asRecords, lineNow, query, queryUntil, startStore, storeFolder } from './store-rig.ts'

const HOUR_MS = 3_600_000

test('rows have files of their hour, late ones too; times that nobody can believe are with their record', async () => {
  using folder = temporaryFolder()
  const broker = await openLog(folder.path)
  const store = await startStore(folder.path, broker)
  const nowMs = clock.wallMs()
  const at = (ms: number) => lineNow({ time: new Date(ms).toISOString() })
  const hours = [0, 1, 5, 47].map((back) => nowMs - back * HOUR_MS)
  await broker.publish(asRecords([...hours.map(at), at(0), at(nowMs + 90 * 86_400_000)]))
  await queryUntil(folder.path, 'FROM access', (rows) => rows.length === 6)
  await store.stop()
  const folders = readdirSync(join(storeFolder(folder.path), 'parquet', 'access')).sort()
  assert.deepEqual(folders, hours.map((ms) => new Date(ms).toISOString().slice(0, 13)).sort())
  const since = await query(folder.path, 'SELECT count(*) FROM access', { sinceMs: nowMs - 2 * HOUR_MS })
  assert.deepEqual(since, [[3]])
  await broker.close()
})

test('hours that are over age go, and the oldest ones where there are too many bytes; what has gone does not come again', async () => {
  using folder = temporaryFolder()
  const broker = await openLog(folder.path)
  const line = (hoursBack: number) => lineNow({ time: new Date(clock.wallMs() - hoursBack * HOUR_MS).toISOString() })
  const records = asRecords([line(0), line(4), line(8)])
  const rows = 'SELECT first_byte = 0 FROM access'
  const before = await startStore(folder.path, broker)
  await broker.publish(records)
  await queryUntil(folder.path, rows, (found) => found.length === 3)
  await before.stop()
  const byAge = await startStore(folder.path, broker, { retentionMs: 6 * HOUR_MS, tidyEveryMs: 20 })
  await queryUntil(folder.path, rows, (found) => found.length === 2)
  await byAge.stop()
  const newest = new Date(clock.wallMs()).toISOString().slice(0, 13)
  const kept = join(storeFolder(folder.path), 'parquet', 'access', newest)
  const bytesMax = readdirSync(kept).reduce((sum, name) => sum + statSync(join(kept, name)).size, 0)
  const bySize = await startStore(folder.path, broker, { bytesMax, tidyEveryMs: 20 })
  await broker.publish(records)
  await queryUntil(folder.path, rows, (found) => found.length === 1)
  await bySize.stop()
  assert.deepEqual(await query(folder.path, rows), [[true]])
  await broker.close()
})

test('merges take files of one table and hour, each at most once, and copy no large file for a small one', () => {
  const file = fc.record({
    table: fc.constantFrom('access' as const, 'dropped' as const),
    hour: fc.constantFrom('2026-11-21T10', '2026-11-21T13'),
    bytes: fc.oneof(fc.integer({ min: 1, max: 10_000 }), fc.integer({ min: 1, max: 200_000_000 })),
  })
  fc.assert(
    fc.property(fc.array(file, { maxLength: 40 }), (given) => {
      const files = given.map((one, id): LogFile => ({ ...one, id, rows: 1, firstMs: 0, lastMs: 0, isFresh: true }))
      const groups = mergeable(files, Date.parse('2026-11-21T13:30:00Z'))
      const merged = groups.flat()
      assert.equal(new Set(merged.map(({ id }) => id)).size, merged.length)
      for (const group of groups) {
        assert.equal(new Set(group.map(({ table, hour }) => `${table} ${hour}`)).size, 1)
        assert.ok(group.length >= (group[0]!.hour === '2026-11-21T10' ? 2 : 8))
        const bytes = group.map((one) => one.bytes).sort((one, other) => one - other)
        const largest = bytes.pop()!
        const others = bytes.reduce((sum, one) => sum + one, 0)
        assert.ok(group.length === 2 || largest <= others + 1024 * 1024)
        assert.ok(largest + others <= 128 * 1024 * 1024)
      }
    }),
  )
})
