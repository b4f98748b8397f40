import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { EDGE_TOPIC } from '@forebay/edge'
import {
  type Answered,
  LogStore,
  type QueryColumn,
  type QueryLimits,
  queryPostgres,
  readRow,
  tailPostgres,
} from '@forebay/edge/store'
import { ForebayError } from '@forebay/protocol'
import pg from 'pg'
import { type Postgres, startPostgres } from '../../../scripts/rig/postgres.ts'
import { openPostgresEngine } from '../src/store/postgres/postgres-engine.ts'
import { clock, openLog, random, silent, temporaryFolder } from './edge-rig.ts'
import { asRecords, lineNow } from './store-rig.ts'

let server: Postgres
before(async () => {
  server = await startPostgres()
})
after(async () => {
  await server[Symbol.asyncDispose]()
})

const limits = { retentionMs: 365 * 86_400_000, bytesMax: 2 ** 40 }

test('rows of every kind are there once, whoever brings them and however often, and queries see their types', async () => {
  const schema = 'logs_kinds'
  const engines = await Promise.all([engine(schema), engine(schema)])
  const time = new Date(clock.wallMs()).toISOString()
  const rows = [
    ...Array.from({ length: 40 }, (_, index) =>
      lineNow({ time, path: `/${index}`, status: 200, tags: { tenant: 'a\0b' } }),
    ),
    ...['no json', '[]', JSON.stringify({ kind: 'dropped', time, first: 1, end: 9, lines: 3, reason: 'spool-full' })],
    ...[JSON.stringify({ kind: 'log', time, body: 'half \ud800 and \0', attributes: { deep: 1 } })],
    ...[
      JSON.stringify({ kind: 'other', time }),
      `{"kind":"log","time":"${time}","attributes":${'['.repeat(300)}${']'.repeat(300)}}`,
    ],
    ...['{"kind":"access","time":"2026-02-31T99:00:00Z","status":"many","seconds":1e400}'],
  ].map((document, index) => incoming(document, index))
  const kept = await Promise.all(engines.flatMap((one) => [one.keep(rows), one.keep(rows), one.keep(rows.slice(10))]))
  assert.equal(
    kept.reduce((sum, count) => sum + count, 0),
    rows.length,
  )
  const counted = `SELECT (SELECT count(*) FROM access), (SELECT count(DISTINCT path) FROM access), (SELECT count(*) FROM undecodable),
    (SELECT count(*) FROM dropped), (SELECT count(*) FROM logs), (SELECT count(*) FROM others)`
  assert.deepEqual(await query(schema, counted), [[41, 40, 3, 1, 1, 1]])
  assert.deepEqual(
    await query(schema, "SELECT time, status, tags, tags ->> 'tenant', first_byte FROM access WHERE path = '/7';"),
    [[`${time.replace(/\.?0*Z$/, '')}Z`, 200, { tenant: 'a\uFFFDb' }, 'a\uFFFDb', 700]],
  )
  assert.deepEqual(await query(schema, 'SELECT lost_first, lost_end, lines FROM dropped'), [[1, 9, 3]])
  assert.deepEqual(
    await query(schema, "SELECT 9007199254740993, 1.5, 'nan'::float8, NULL, DATE '2026-11-21', ARRAY[1, 2], true"),
    [['9007199254740993', 1.5, 'NaN', null, '2026-11-21', [1, 2], true]],
  )
  await Promise.all(engines.map((one) => one.close()))
})

test('tables of a version that knew fewer columns get them, with their rows and views', async () => {
  const schema = 'logs_older'
  const time = new Date(clock.wallMs()).toISOString()
  const older = await engine(schema)
  const row = { kind: 'dropped', time, reason: 'socket', first: 1, end: 1, lines: 3 }
  await older.keep([incoming(JSON.stringify(row), 0)])
  await older.close()
  const admin = new pg.Client(server.url)
  await admin.connect()
  await admin.query(`DROP VIEW ${schema}.dropped;
    ALTER TABLE ${schema}.dropped_rows DROP COLUMN lost_from, DROP COLUMN lost_until;
    CREATE VIEW ${schema}.dropped AS
      SELECT time, reason, lost_first, lost_end, lines, source, epoch, first_byte, end_byte FROM ${schema}.dropped_rows`)
  await admin.end()
  const [one, other] = await Promise.all([engine(schema), engine(schema)])
  const missed = { ...row, reason: 'not-running', end: null, lines: null, from: time, until: time }
  await Promise.all([one.keep([incoming(JSON.stringify(missed), 1)]), other.keep([incoming(lineNow(), 2)])])
  const told = `${time.replace(/\.?0*Z$/, '')}Z`
  assert.deepEqual(await query(schema, 'SELECT reason, lines, lost_from, lost_until FROM dropped ORDER BY reason'), [
    ['not-running', null, told, told],
    ['socket', 3, null, null],
  ])
  await Promise.all([one.close(), other.close()])
})

test('late rows have their own day; whole days go when they are over, and the oldest when it is too much', async () => {
  const schema = 'logs_days'
  const day = 86_400_000
  const now = clock.wallMs()
  const at = (ago: number, index: number) =>
    incoming(lineNow({ time: new Date(now - ago * day).toISOString() }), index, now - ago * day)
  const writer = await engine(schema)
  const late = incoming(lineNow({ time: new Date(now - 1.5 * day).toISOString() }), 900, now)
  assert.equal(await writer.keep([at(0, 1), at(3, 2), at(5, 3), at(40, 4), late]), 5)
  assert.equal((await partitions(schema)).length, 5)
  const signal = new AbortController().signal
  const monthly = await engine(schema, { retentionMs: 30 * day })
  await monthly.tidy(signal)
  assert.deepEqual(await query(schema, 'SELECT count(*) FROM access'), [[4]])
  assert.deepEqual(await query(schema, 'SELECT count(*) FROM access', { sinceMs: now - 2 * day }), [[2]])
  const small = await engine(schema, { bytesMax: 1 })
  await small.tidy(signal)
  assert.deepEqual(await query(schema, 'SELECT count(*) FROM access'), [[1]])
  assert.equal(await writer.keep([at(3, 50), at(0, 1)]).catch(() => writer.keep([at(3, 50), at(0, 1)])), 1)
  assert.deepEqual(await query(schema, 'SELECT count(*) FROM access'), [[2]])
  await Promise.all([writer, monthly, small].map((one) => one.close()))
})

test('a query is one SELECT over the views: nothing else is carried out, and nothing is left behind', async () => {
  const schema = 'logs_hostile'
  const writer = await engine(schema)
  await writer.keep([incoming(lineNow({ status: 200 }), 1)])
  const admin = new pg.Client(server.url)
  await admin.connect()
  await admin.query('CREATE TABLE IF NOT EXISTS public.secrets (secret text); GRANT SELECT ON public.secrets TO PUBLIC')
  await admin.query('CREATE OR REPLACE FUNCTION public.mine() RETURNS integer LANGUAGE sql IMMUTABLE AS $$ SELECT 1 $$')
  for (const sql of [
    ...['SELECT 1; SELECT 2', 'SELECT 1; DROP SCHEMA logs_hostile CASCADE', 'SELECT 1); DROP TABLE public.secrets; --'],
    ...['SELECT 1) AS a, (SELECT 2', 'COMMIT', 'ROLLBACK', 'BEGIN', '', ';', '--', 'SELECT $1', 'SELEKT 1', '\0'],
    ...[
      "COPY access TO PROGRAM 'touch /tmp/forebay-hostile'",
      "COPY access TO '/tmp/forebay-hostile'",
      'TABLE pg_authid',
    ],
    ...[
      'SET statement_timeout = 0',
      'RESET ROLE',
      'DO $$ BEGIN END $$',
      'LISTEN x',
      'VACUUM',
      'LOCK access',
      'CALL f()',
    ],
    ...["SELECT set_config('role', 'none', true)", "SELECT U&\"set\\005fconfig\"('role', 'none', true)"],
    ...[
      "SELECT pg_read_file('/etc/passwd')",
      "SELECT pg_ls_dir('/')",
      "SELECT lo_import('/etc/passwd')",
      'SELECT pg_sleep(60)',
    ],
    ...["SELECT query_to_xml('SELECT 1', true, true, '')", "SELECT table_to_xml('public.secrets', true, true, '')"],
    ...[
      "SELECT * FROM dblink('x', 'SELECT 1') AS t (a int)",
      'SELECT pg_advisory_lock(1)',
      'SELECT pg_terminate_backend(1)',
    ],
    ...[
      'SELECT * FROM public.secrets',
      'SELECT * FROM pg_stat_activity',
      `SELECT * FROM ${schema}.access_rows`,
      'SELECT public.mine()',
    ],
    ...[
      'WITH x AS (DELETE FROM access RETURNING *) SELECT * FROM x',
      'WITH x AS (INSERT INTO places DEFAULT VALUES RETURNING 1) SELECT 1',
    ],
    ...[
      'SELECT * INTO t FROM access',
      'CREATE TABLE t (a int)',
      'DELETE FROM access',
      'SELECT * FROM access FOR UPDATE',
      'EXPLAIN SELECT 1',
    ],
    ...[
      "SELECT nextval('x')",
      'SELECT 1 FROM access WHERE EXISTS (SELECT FROM pg_shadow)',
      'SELECT (SELECT max(pg_sleep(1)::text))',
      '('.repeat(5_000),
    ],
  ]) {
    const thrown = await query(schema, sql).catch((error: unknown) => error)
    assert.ok(
      thrown instanceof ForebayError && /^QUERY_(REFUSED|LIMIT)$/.test(thrown.code),
      `${sql.slice(0, 80)}: ${thrown}`,
    )
  }
  const { rows } = await admin.query(
    "SELECT (SELECT count(*)::int FROM pg_class WHERE relname LIKE 'asked%') AS views, (SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory') AS locks",
  )
  assert.deepEqual(rows, [{ views: 0, locks: 0 }])
  await admin.end()
  assert.deepEqual(await query(schema, 'SELECT status, current_user = session_user FROM access'), [[200, false]])
  await writer.close()
})

test('a query ends at its limits of time and rows, and the next one is answered', async () => {
  const schema = 'logs_limits'
  const writer = await engine(schema)
  await writer.keep([incoming(lineNow(), 1)])
  const endless = 'SELECT count(*) FROM generate_series(1, 1e9::bigint) AS a, access'
  await assert.rejects(query(schema, endless, { timeoutMs: 500 }), { code: 'QUERY_LIMIT' })
  const parts = []
  for await (const part of queryPostgres(server.url, 'SELECT * FROM generate_series(1, 5000) AS number', {
    schema,
    rowsMax: 2_500,
  })) {
    parts.push(part)
  }
  assert.deepEqual(parts[0], { columns: [{ name: 'number', type: 'integer' }] })
  assert.equal(parts.flatMap((part) => ('rows' in part ? part.rows : [])).length, 2_500)
  assert.deepEqual(parts.at(-1), { end: { truncated: true } })
  const leaving = AbortSignal.timeout(300)
  await assert.rejects(
    async () => {
      for await (const _ of queryPostgres(server.url, endless, { schema, signal: leaving }));
    },
    { name: 'TimeoutError' },
  )
  await assert.rejects(query('nowhere', 'SELECT * FROM access'), { code: 'QUERY_REFUSED' })
  assert.deepEqual(await query(schema, 'SELECT count(*) FROM access'), [[1]])
  await writer.close()
})

test('who tails sees each row once, in whatever order transactions end', async () => {
  const schema = 'logs_tail'
  const writer = await engine(schema)
  await writer.keep([incoming(lineNow({ path: '/before' }), 1)])
  const leaving = new AbortController()
  const tail = tailPostgres(server.url, { schema, where: 'status >= 500', signal: leaving.signal })
  const first = (await tail.next()).value as { readonly columns: readonly QueryColumn[] }
  const path = first.columns.findIndex(({ name }) => name === 'path')
  const seen: unknown[] = []
  const others = Array.from({ length: 30 }, (_, index) =>
    writer.keep([
      incoming(lineNow({ path: `/${index}`, status: 500 + (index % 2) }), 10 + index, undefined, `s${index}`),
    ]),
  )
  while (seen.length < 30) {
    const part = (await tail.next()).value as Answered
    if ('rows' in part) seen.push(...part.rows.map((row) => row[path]))
  }
  await Promise.all(others)
  assert.equal(new Set(seen).size, 30)
  assert.equal(seen.includes('/before'), false)
  leaving.abort()
  assert.equal((await tail.next()).done, true)
  const none = tailPostgres(server.url, { schema, where: 'true) OR pg_sleep(1) IS NULL OR (true' })
  await assert.rejects(none.next(), { code: 'QUERY_REFUSED' })
  await writer.close()
})

test('the writer is killed, and the server: every row is there, and once', async () => {
  using folder = temporaryFolder()
  const schema = 'logs_crash'
  const program = fileURLToPath(new URL('./crashing-store.ts', import.meta.url))
  for (let crash = 0; crash < 3; crash++) {
    const child = spawn(process.execPath, [program, folder.path, '', server.url, schema], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(child.stdout, 'data')
    await new Promise((resolve) => setTimeout(resolve, 100 + random.unit() * 900))
    child.kill('SIGKILL')
    await once(child, 'close')
  }
  await server.kill()
  const broker = await openLog(folder.path)
  const store = await LogStore.start({
    options: { url: server.url, schema, ...limits, writeEveryMs: 50 },
    ...{ broker, clock, random, log: silent },
    topics: new Map([[EDGE_TOPIC, readRow]]),
  })
  while (store.problems().length === 0) await clock.sleep(20)
  await server.restart()
  await broker.publish(asRecords([lineNow()], 'last:file'))
  for (;;) {
    const last = await query(schema, "SELECT count(*) FROM access WHERE source = 'last:file'").catch(() => [])
    if (last[0]?.[0] === 1) break
  }
  await store.stop()
  const [state] = await broker.inspect({ topics: [EDGE_TOPIC], group: 'forebay.logs' })
  await broker.close()
  const rows = Math.floor(((state!.end - 2) * 3) / 4) + 1
  assert.ok(rows > 10)
  assert.deepEqual(
    await query(
      schema,
      "SELECT count(*), count(DISTINCT path), max(first_byte) FROM access WHERE source = 'web-1:file'",
    ),
    [[rows, rows, (rows - 1) * 100]],
  )
})

function engine(schema: string, more: Partial<typeof limits> = {}) {
  return openPostgresEngine({ url: server.url, schema, ...limits, ...more }, clock)
}

function incoming(document: string, index: number, recordMs = clock.wallMs(), source = 'web-1:file') {
  return { table: null, source, epoch: 'e1', first: index * 100, end: index * 100 + 100, recordMs, document }
}

async function query(schema: string, sql: string, given: QueryLimits = {}): Promise<unknown[][]> {
  const rows: unknown[][] = []
  for await (const part of queryPostgres(server.url, sql, { schema, ...given })) {
    if ('rows' in part) rows.push(...(part.rows as unknown[][]))
  }
  return rows
}

async function partitions(schema: string): Promise<unknown[]> {
  const admin = new pg.Client(server.url)
  await admin.connect()
  const { rows } = await admin.query(
    `SELECT inhrelid FROM pg_inherits WHERE inhparent = '${schema}.access_rows'::regclass`,
  )
  await admin.end()
  return rows
}
