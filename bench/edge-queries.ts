import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { queryLogs } from '@forebay/edge/store'
import { Catalogue, cataloguePath, type LogFile } from '../packages/edge/src/store/catalogue.ts'
import { loadDuck, openDuck } from '../packages/edge/src/store/duck.ts'
import { temporaryFolder, writeParquet } from '../packages/edge/src/store/parquet-writer.ts'
import { store } from './compare.ts'
import { describeMachine } from './machine.ts'

export interface EdgeQueriesOptions {
  readonly rows: number
}

interface Figures {
  readonly query: string
  /** Of `TURNS`, with the start of the process that answers. */
  readonly medianMs: number
  readonly maxMs: number
  readonly rows: number
}

/** How long typical questions take over so many rows of a day, in files by hour as the store leaves them. */
export async function edgeQueries({ rows }: EdgeQueriesOptions): Promise<boolean> {
  const machine = describeMachine()
  const dir = mkdtempSync(join(tmpdir(), 'forebay-edge-queries-'))
  try {
    const beganMs = performance.now()
    const bytes = await generate(dir, rows)
    const seconds = (performance.now() - beganMs) / 1_000
    console.log(`${rows} rows in ${HOURS} files, ${(bytes / 1e6).toFixed(0)} MB, made in ${seconds.toFixed(0)} s`)
    const figures: Figures[] = []
    for (const [query, sql] of Object.entries(QUERIES)) figures.push(await timed(dir, query, sql))
    for (const { query, medianMs, maxMs, rows: found } of figures) {
      console.log(`${query.padEnd(48)} ${medianMs.toFixed(0).padStart(6)} ms (max ${maxMs.toFixed(0)}), ${found} rows`)
    }
    await store('edge-queries', { machine, rows, bytes, figures })
    return figures.every((one) => one.rows > 0)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

async function generate(dir: string, rows: number): Promise<number> {
  mkdirSync(temporaryFolder(dir), { recursive: true })
  const duck = await loadDuck()
  const { instance, connection } = await openDuck(duck, { threads: 2, memoryBytes: 2 * 1024 ** 3 })
  const catalogue = await Catalogue.open(cataloguePath(dir), 'write')
  const perHour = Math.ceil(rows / HOURS)
  const files: LogFile[] = []
  for (let index = 0; index < HOURS; index++) {
    const firstMs = BEGIN_MS + index * HOUR_MS
    const hour = new Date(firstMs).toISOString().slice(0, 13)
    const file = { id: index + 1, table: 'access' as const, hour }
    const bytes = await writeParquet(connection, dir, file, rowsOfHour(firstMs, index * perHour, perHour))
    files.push({ ...file, rows: perHour, bytes, firstMs, lastMs: firstMs + HOUR_MS - 1, isFresh: false })
  }
  catalogue.add(files, { places: new Map(), drops: [] }, BEGIN_MS)
  catalogue.close()
  connection.closeSync()
  instance.closeSync()
  return files.reduce((sum, file) => sum + file.bytes, 0)
}

/** Ids and addresses are as random as in life, since they decide what a file weighs; one request in 200 fails. */
function rowsOfHour(firstMs: number, from: number, count: number): string {
  return `SELECT make_timestamp((${firstMs} + i * ${HOUR_MS} // ${count}) * 1000) AS time, 'web-' || i % 4 AS server,
    'tasks.example.com' AS host, '203.0.' || hash(i) % 256 || '.' || hash(i, 1) % 256 AS client,
    CASE WHEN i % 3 = 0 THEN 'GET' ELSE 'POST' END AS method,
    CASE WHEN i % 3 = 0 THEN '/v1/tasks/' || md5(i::VARCHAR)[:26] ELSE '/v1/queues/queue-' || hash(i, 2) % 40 || '/tasks' END AS path,
    '' AS query, 'HTTP/1.1' AS protocol, (CASE WHEN hash(i, 3) % 200 = 0 THEN 504 WHEN i % 3 = 0 THEN 200 ELSE 202 END)::BIGINT AS status,
    (200 + hash(i, 4) % 2000)::BIGINT AS request_bytes, (150 + hash(i, 5) % 800)::BIGINT AS response_bytes,
    (hash(i, 6) % 500) / 1000.0::DOUBLE AS seconds, '10.0.0.' || hash(i, 7) % 4 || ':8080' AS upstream, 202::BIGINT AS upstream_status,
    0.0::DOUBLE AS connect_seconds, (hash(i, 6) % 480) / 1000.0::DOUBLE AS header_seconds, (hash(i, 6) % 490) / 1000.0::DOUBLE AS upstream_seconds,
    'TLSv1.3' AS tls, 'TLS_AES_256_GCM_SHA384' AS cipher, '' AS cache, 'agent/' || hash(i, 8) % 30 AS user_agent, '' AS referer,
    md5((i + 1)::VARCHAR) AS request_id, md5((i // 3)::VARCHAR) AS trace, md5(i::VARCHAR)[:26] AS task, i // 100 AS connection,
    i % 100 AS connection_requests, NULL::VARCHAR AS tags,
    'web-' || i % 4 || ':/var/log/nginx/forebay.log' AS source, 'e1' AS epoch, i * 700 AS first_byte, i * 700 + 700 AS end_byte
    FROM (SELECT ${from} + range AS i FROM range(${count}))`.replaceAll(
    `(${firstMs} + i *`,
    `(${firstMs} + (i - ${from}) *`,
  )
}

async function timed(dir: string, query: string, sql: string): Promise<Figures> {
  const tookMs: number[] = []
  let rows = 0
  for (let turn = 0; turn < TURNS; turn++) {
    rows = 0
    const beganMs = performance.now()
    for await (const part of queryLogs(dir, sql, { timeoutMs: 120_000 })) if ('rows' in part) rows += part.rows.length
    tookMs.push(performance.now() - beganMs)
  }
  tookMs.sort((one, other) => one - other)
  return { query, medianMs: tookMs[TURNS >> 1]!, maxMs: tookMs.at(-1)!, rows }
}

const HOURS = 24
const HOUR_MS = 3_600_000
const BEGIN_MS = Date.UTC(2026, 10, 20)
const TURNS = 3
const LAST_HOUR = "time >= TIMESTAMP '2026-11-20 23:00:00'"

const QUERIES: Readonly<Record<string, string>> = {
  'nothing but the start of a process': 'SELECT 1',
  'count of all': 'SELECT count(*) FROM access',
  'by status, all hours': 'SELECT status, count(*) FROM access GROUP BY status',
  'by status, the last hour': `SELECT status, count(*) FROM access WHERE ${LAST_HOUR} GROUP BY status`,
  'p50 and p99 by queue, the last hour': `SELECT path, count(*), quantile_cont(seconds, [0.5, 0.99]) FROM access
    WHERE ${LAST_HOUR} AND path LIKE '/v1/queues/%' GROUP BY path`,
  'failures by minute, all hours': `SELECT date_trunc('minute', time) AS minute, count(*) FROM access WHERE status >= 500 GROUP BY minute`,
  'one request by its id, all hours': 'SELECT * FROM access WHERE request_id = md5(4711::VARCHAR)',
  'one trace, all hours': 'SELECT time, path, status FROM access WHERE trace = md5(99::VARCHAR)',
  'slowest 20, all hours': 'SELECT time, path, seconds FROM access ORDER BY seconds DESC LIMIT 20',
  'busiest 20 clients, all hours': 'SELECT client, count(*) FROM access GROUP BY client ORDER BY 2 DESC LIMIT 20',
}
