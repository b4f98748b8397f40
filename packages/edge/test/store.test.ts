import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { EDGE_TOPIC } from '@forebay/edge'
import { LOGS_GROUP } from '@forebay/edge/store'
import { loadDuck, openDuck, sqlText } from '../src/store/duck.ts'
import { accessLine, openLog, temporaryFolder } from './edge-rig.ts'
import { asRecords, lineNow, query, queryUntil, startStore, storeFolder } from './store-rig.ts'

test('rows come out as they went in, with their types, a moment after they were published', async () => {
  using folder = temporaryFolder()
  const broker = await openLog(folder.path)
  const store = await startStore(folder.path, broker)
  const line = accessLine({ tags: { tenant: 'ann', n: 1 }, cache: 'Wägelchen "7"\n' })
  await broker.publish(asRecords([line]))
  const [row] = await queryUntil(
    folder.path,
    `SELECT time, status, request_bytes, seconds, upstream_status, cache, tags ->> '$.tenant', source, epoch, first_byte, end_byte, request_id
     FROM access`,
    (rows) => rows.length === 1,
  )
  const end = Buffer.byteLength(line) + 1
  const { requestId } = JSON.parse(line) as { requestId: string }
  assert.deepEqual(row, [
    '2026-11-21T13:55:01.123Z',
    ...[202, 1523, 0.004, 202, 'Wägelchen "7"\n', 'ann', 'web-1:file', 'e1', 0, end, requestId],
  ])
  await store.stop()
  await broker.close()
})

test('what comes again is there once, in one group of rows, in the next, and after a restart', async () => {
  using folder = temporaryFolder()
  const broker = await openLog(folder.path)
  const records = asRecords([lineNow(), lineNow(), lineNow()])
  const later = asRecords([lineNow()], 'web-1:file', 'e1', 100_000)
  const before = await startStore(folder.path, broker)
  await broker.publish([...records, records[1]!])
  await queryUntil(folder.path, 'FROM access', (rows) => rows.length === 3)
  await broker.publish([records[0]!, records[2]!])
  await before.stop()
  const after = await startStore(folder.path, broker)
  await broker.publish([...records, ...later])
  await queryUntil(folder.path, 'FROM access', (rows) => rows.length >= 4)
  await after.stop()
  assert.deepEqual(await query(folder.path, 'SELECT count(*), count(DISTINCT first_byte) FROM access'), [[4, 4]])
  const [state] = await broker.inspect({ topics: [EDGE_TOPIC], group: LOGS_GROUP })
  assert.equal(state!.committed, state!.end)
  await broker.close()
})

test('each kind has its table; what is no document of any is kept as it came', async () => {
  using folder = temporaryFolder()
  const broker = await openLog(folder.path)
  const store = await startStore(folder.path, broker)
  const dropped = JSON.stringify({
    ...{ v: 1, kind: 'dropped', time: '2026-11-21T13:00:00Z', reason: 'socket', source: 'web-1:udp', epoch: 'e1' },
    ...{ first: 7, end: null, lines: 12 },
  })
  const odd = [
    '{"v":1,"kind":"undecodable","time":"2026-11-21T13:00:00Z","reason":"not-json","bytes":"e30=","continues":false}',
    'no json',
    '{"kind":"access","status":"many","time":"nonsense","tags":7,"path":7,"seconds":[1]}',
    '{"v":1,"kind":"log","level":"warn","time":"2026-11-21T13:00:00Z"}',
    '{"kind":"access","path":"\\u0000 \\ud800"}',
    '[]',
    `{"kind":"access","path":${'['.repeat(50_000)}${']'.repeat(50_000)}}`,
    `{"kind":"access","connection":99999999999999999999999999,"time":"9999-12-31T00:00:00Z"}`,
    '',
    '{"kind":"access","time":"infinity","path":"\\u0000"}',
  ]
  const records = asRecords(odd)
  const binary = { ...asRecords([''], 'web-2:file')[0]!, value: Buffer.from([0xff, 0x00, 0x0a]) }
  const foreign = { topic: EDGE_TOPIC, key: null, value: Buffer.from(lineNow({ path: '/foreign' })), headers: [] }
  const loss = { ...asRecords([dropped])[0]!, headers: [...asRecords(['', ''])[0]!.headers] }
  await broker.publish([...records, binary, foreign, loss, loss])
  const count = `SELECT 'access', count(*) FROM access UNION ALL SELECT 'undecodable', count(*) FROM undecodable
    UNION ALL SELECT 'dropped', count(*) FROM dropped UNION ALL SELECT 'others', count(*) FROM others UNION ALL SELECT 'logs', count(*) FROM logs`
  const rows = await queryUntil(folder.path, count, (found) => found.some(([, rows]) => Number(rows) > 0))
  const counts = Object.fromEntries(rows) as Record<string, number>
  assert.equal(counts.logs, 1)
  assert.equal(counts.dropped, 1)
  assert.equal(counts.access! + counts.undecodable!, odd.length - 1 + 2)
  const reasons = await query(folder.path, 'SELECT DISTINCT reason FROM undecodable ORDER BY reason')
  assert.deepEqual(reasons, [['not-json'], ['not-utf8']])
  const kept = await query(
    folder.path,
    "SELECT from_base64(bytes) = 'no json'::BLOB FROM undecodable WHERE first_byte = 112",
  )
  assert.deepEqual(kept, [[true]])
  assert.deepEqual(await query(folder.path, "SELECT source FROM access WHERE path = '/foreign'"), [[`${EDGE_TOPIC}:0`]])
  assert.deepEqual(await query(folder.path, 'SELECT lines, lost_first, lost_end FROM dropped'), [[12, 7, null]])
  await store.stop()
  await broker.close()
})

test('files of a version that knew fewer columns are read beside newer ones', async () => {
  using folder = temporaryFolder()
  const broker = await openLog(folder.path)
  await using closing = new AsyncDisposableStack()
  closing.defer(() => broker.close())
  closing.use(await startStore(folder.path, broker))
  const row = { v: 1, kind: 'dropped', time: '2026-11-21T13:00:00Z', reason: 'socket', first: 7, end: 7, lines: 12 }
  await broker.publish(asRecords([JSON.stringify(row)]))
  await queryUntil(folder.path, 'FROM dropped', (rows) => rows.length === 1)
  const files = globSync(join(storeFolder(folder.path), 'parquet', 'dropped', '*', '*.parquet'))
  assert.equal(files.length, 1)
  await withoutColumns(files[0]!, 'lost_from, lost_until')
  const asked = 'SELECT reason, lines, lost_from, lost_until FROM dropped ORDER BY reason'
  assert.deepEqual(await query(folder.path, asked), [['socket', 12, null, null]])
  const from = '2026-11-21T13:00:01.253Z'
  const until = '2026-11-21T13:00:04.107Z'
  const missed = { ...row, reason: 'not-running', end: null, lines: null, from, until }
  await broker.publish(asRecords([JSON.stringify(missed)]))
  assert.deepEqual(await queryUntil(folder.path, asked, (rows) => rows.length === 2), [
    ['not-running', null, from, until],
    ['socket', 12, null, null],
  ])
})

async function withoutColumns(path: string, columns: string): Promise<void> {
  const { instance, connection } = await openDuck(await loadDuck(), {
    threads: 1,
    memoryBytes: 2 ** 28,
    spillDir: path,
  })
  await connection.run(`CREATE TABLE kept AS SELECT * EXCLUDE (${columns}) FROM read_parquet(${sqlText(path)})`)
  await connection.run(`COPY kept TO ${sqlText(path)} (FORMAT parquet)`)
  connection.closeSync()
  instance.closeSync()
}
