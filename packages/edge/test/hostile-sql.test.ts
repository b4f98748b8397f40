import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ForebayError } from '@forebay/protocol'
import { QueryProcess } from '../src/store/query/query-process.ts'
import { openLog, temporaryFolder } from './edge-rig.ts'
import { asRecords, lineNow, query, queryUntil, startStore, storeFolder } from './store-rig.ts'

test('SQL reads the tables of the store and nothing else', async () => {
  using folder = temporaryFolder()
  const dir = join(folder.path, 'store')
  mkdirSync(dir)
  const secret = join(folder.path, 'secret.csv')
  writeFileSync(secret, 'secret\nforebay\n')
  await using sandbox = new QueryProcess({ dir, memoryBytes: 128 * 1024 * 1024, threads: 1 })
  const views = [['access', 'SELECT 200 AS status']] as const
  const ask = async (sql: string) => {
    const said = []
    const signal = AbortSignal.timeout(30_000)
    for await (const part of sandbox.ask({ views, sql, rowsMax: 10 }, signal)) said.push(part)
    return said
  }
  const inside = join(dir, 'inside')
  for (const sql of [
    ...['/etc/passwd', secret, `${dir}/../secret.csv`, '/proc/self/environ', 'https://127.0.0.1:1/x.csv'].flatMap(
      (path) => [
        `SELECT * FROM read_csv('${path}')`,
        `SELECT * FROM read_text('${path}')`,
        `SELECT * FROM read_blob('${path}')`,
        `SELECT * FROM read_json('${path}')`,
        `SELECT * FROM parquet_metadata('${path}')`,
        `SELECT * FROM '${path}'`,
        `SELECT * FROM query('FROM read_text(''${path}'')')`,
      ],
    ),
    ...["SELECT * FROM glob('/etc/*')", "SELECT * FROM sniff_csv('/etc/passwd')", "SELECT getenv('HOME')"],
    ...[
      `COPY access TO '${inside}'`,
      `COPY access TO '/tmp/forebay-hostile'`,
      `EXPLAIN ANALYZE COPY access TO '${inside}'`,
    ],
    ...[`COPY access FROM '${secret}'`, `EXPORT DATABASE '${inside}'`, `IMPORT DATABASE '${inside}'`],
    ...[
      `ATTACH '${inside}' AS other`,
      "ATTACH ':memory:' AS other",
      "ATTACH 'http://127.0.0.1:1/x' AS other",
      'DETACH memory',
    ],
    ...[
      'INSTALL httpfs',
      'LOAD httpfs',
      "LOAD '/tmp/x.duckdb_extension'",
      "SET memory_limit = '64GB'",
      'RESET memory_limit',
    ],
    ...[
      'SET enable_external_access = true',
      'SET lock_configuration = false',
      'PRAGMA enable_profiling',
      'PRAGMA threads = 64',
    ],
    ...[
      'SELECT 1; SELECT 2',
      'SELECT 1; DROP VIEW access',
      '',
      ';',
      '--',
      'SELECT ?',
      'SELECT $1',
      'SELEKT 1',
      'SELECT * FROM nowhere',
    ],
    ...[
      'CREATE TABLE t (a INTEGER)',
      'CREATE OR REPLACE VIEW access AS SELECT 1',
      'DROP VIEW access',
      'CHECKPOINT',
      'VACUUM',
    ],
    ...[
      'BEGIN',
      'CALL pragma_version()',
      'PREPARE p AS SELECT 1',
      'CREATE SECRET (TYPE s3)',
      'CREATE MACRO f() AS 1',
      'USE temp',
    ],
    ...[
      "SELECT * FROM query('COPY access TO ''x''')",
      `WITH x AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM x`,
    ],
    ...['\0', "SELECT '\0'; COPY access TO 'x'", '('.repeat(5_000)],
  ]) {
    const thrown = await ask(sql).catch((error: unknown) => error)
    assert.equal(thrown instanceof ForebayError ? thrown.code : thrown, 'QUERY_REFUSED', sql.slice(0, 100))
  }
  assert.deepEqual(readdirSync(dir), [])
  assert.deepEqual(readdirSync(folder.path).sort(), ['secret.csv', 'store'])
  assert.deepEqual(await ask('SELECT status FROM access'), [
    { columns: [{ name: 'status', type: 'INTEGER' }] },
    { rows: [[200]] },
    { end: { truncated: false } },
  ])
})

test('a query ends at its limits of time, memory and rows, and the next one is answered', async () => {
  using folder = temporaryFolder()
  const broker = await openLog(folder.path)
  const store = await startStore(folder.path, broker)
  await broker.publish(asRecords(Array.from({ length: 30 }, () => lineNow())))
  await queryUntil(folder.path, 'FROM access', (rows) => rows.length === 30)
  await store.stop()
  const endless = 'SELECT count(*) FROM range(10000000) a, range(10000000) b, access WHERE a.range + b.range = status'
  const limit = (says: RegExp) => (thrown: unknown) =>
    thrown instanceof ForebayError && thrown.code === 'QUERY_LIMIT' && says.test(thrown.message)
  await assert.rejects(query(folder.path, endless, { timeoutMs: 1_500 }), limit(/longer than 1.5 s/))
  const large = 'SELECT list(a.range) FROM range(20000000) a GROUP BY a.range % 7000000'
  await assert.rejects(query(folder.path, large, { memoryBytes: 32 * 1024 * 1024 }), limit(/Out of Memory/i))
  assert.equal((await query(folder.path, 'FROM range(1000000)', { rowsMax: 70 })).length, 70)
  await assert.rejects(query(folder.path, 'FROM access', { rowsMax: 0 }), /rowsMax \(--limit\) is 0/)
  await assert.rejects(query(storeFolder(folder.path), 'FROM access'), { code: 'LOGS_UNAVAILABLE' })
  assert.deepEqual(await query(folder.path, 'SELECT count(*) FROM access'), [[30]])
  await broker.close()
})

test('times, numbers and documents keep their types in what comes back', async () => {
  using folder = temporaryFolder()
  const broker = await openLog(folder.path)
  await (await startStore(folder.path, broker)).stop()
  const [row] = await query(
    folder.path,
    `SELECT count(*), sum(x), 1.5::DECIMAL(5, 2), 9007199254740993, TIMESTAMP '2026-11-21 13:00:00', DATE '2026-11-21', true, NULL, [1, 2], {'a': 1}, 'nan'::DOUBLE
     FROM (SELECT 7::BIGINT AS x)`,
  )
  assert.deepEqual(row, [
    ...[1, 7, 1.5, '9007199254740993', '2026-11-21T13:00:00Z', '2026-11-21', true, null, [1, 2], { a: 1 }, 'NaN'],
  ])
  const since = await query(
    folder.path,
    'SELECT count(*) FROM access WHERE time > now() - INTERVAL 1 HOUR AND status >= 500',
  )
  assert.deepEqual(since, [[0]])
  await broker.close()
})
