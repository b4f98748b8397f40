import { setTimeout as sleep } from 'node:timers/promises'
import { readResults, type SeenResult } from '../read-results.ts'
import { type Handed, submitMany } from '../submit-many.ts'
import { judgeDatagrams, judgeFiles, type Verdict } from './judge.ts'
import { runLoad } from './load.ts'
import type { LogStoreProcess } from './log-store.ts'
import { readRows, requestOf, type TopicRow } from './read-rows.ts'
import { type EdgeScene, QUEUE, startEdgeScene } from './scene.ts'

export interface EdgeOptions {
  /** Of h2load; tasks and the questions after them come on top. */
  readonly requests: number
  readonly perSecond: number
  readonly tasks: number
  /** How long Kafka is away. ms */
  readonly kafkaAwayMs: number
  readonly say: (line: string) => void
}

export interface EdgeReport {
  /** Lines in nginx's files. */
  readonly requests: number
  readonly files: Verdict
  readonly datagrams: Verdict
  /** What else should not be, one sentence each. */
  readonly wrongs: readonly string[]
  readonly kills: number
  readonly rotations: number
  readonly tasks: number
  readonly output: string
}

const TOPIC = 'forebay.edge.access'
const FILE_SOURCE = /^web-1:\//
const THROUGH_WITHIN_MS = 120_000

/** Load on nginx while Kafka goes away, the collector is killed and log files are rotated. */
export async function runEdge(options: EdgeOptions): Promise<EdgeReport> {
  const began = performance.now()
  const say = (line: string) => options.say(`${((performance.now() - began) / 1_000).toFixed(1)} s: ${line}`)
  say('starting Kafka, two gateways with a worker, nginx and a collector')
  await using scene = await startEdgeScene()
  const { kafka, collector } = scene
  say('load on nginx')
  const loading = runLoad({ url: scene.nginx.url, ...options, dir: scene.dir })
  const handed: Promise<readonly Handed[]>[] = []
  // Where something fails nobody hands in to what is no more, which would keep this process for many minutes.
  const over = new AbortController()
  using _ = { [Symbol.dispose]: () => over.abort() }
  const handIn = (tag: string) => {
    const handing = submitTasks(scene, tag, Math.ceil(options.tasks / TASK_TURNS), over.signal)
    handing.catch(() => {})
    handed.push(handing)
  }
  await Promise.all([loading, trouble(scene, { ...options, say }, handIn)])
  handIn('after')
  const tasks = (await Promise.all(handed)).flat()
  say(`${tasks.length} tasks; waiting until their results and all rows are in the log`)
  const results = await untilEnded(kafka.bootstrap, tasks)
  // nginx keeps lines for at most a second before it writes them.
  await sleep(NGINX_FLUSH_MS)
  await collector.untilThrough(THROUGH_WITHIN_MS)
  await collector.stop()
  const load = await loading
  const logs = scene.logs()
  const lines = logs.flatMap(({ text }) =>
    text
      .split('\n')
      .filter((line) => line !== '')
      .map(requestOf),
  )
  const rows = await readRows(kafka.bootstrap, TOPIC)
  const truth = new Map(lines.map(({ requestId, timeMs }) => [requestId, timeMs]))
  const isOfFile = (row: TopicRow) => FILE_SOURCE.test(row.place)
  const fileRows = rows.filter(isOfFile)
  const wrongs = [
    ...(load.failed > 0 ? [`${load.failed} requests of h2load got no answer`] : []),
    ...(truth.size < lines.length ? [`nginx gave ${lines.length - truth.size} requests an id that others have`] : []),
    ...missingPaths(load.paths, fileRows),
    ...taskWrongs(tasks, fileRows, results),
    ...(await storeWrongs(scene.store, rows, tasks)),
  ]
  return {
    requests: lines.length,
    files: judgeFiles(
      { truth, rows: fileRows },
      logs.map(({ bytes }) => bytes),
    ),
    datagrams: judgeDatagrams({ truth, rows: rows.filter((row) => !isOfFile(row)) }, collector.outages),
    wrongs,
    kills: collector.outages.length,
    rotations: logs.length - 1,
    tasks: tasks.length,
    output: [collector.output(), scene.store.output(), scene.nginx.output().slice(-4_000)].join('\n──\n'),
  }
}

const TASK_TURNS = 3
const NGINX_FLUSH_MS = 1_500

/** Kafka away for a while with the collector killed meanwhile, and killed before; rotations at every turn. */
async function trouble(scene: EdgeScene, options: EdgeOptions, handIn: (tag: string) => void): Promise<void> {
  const { kafka, collector } = scene
  const { say, kafkaAwayMs } = options
  const untilFirstMs = (options.requests / options.perSecond) * 1_000 * FIRST_TROUBLE_AT
  handIn('before')
  await sleep(untilFirstMs / 2)
  await scene.rotate()
  await sleep(untilFirstMs / 2)
  say('kill -9 of the collector and the store')
  await Promise.all([collector.killAndStart(), scene.store.killAndStart(), scene.rotate()])
  say(`they are back; Kafka goes for ${kafkaAwayMs} ms`)
  await kafka.stop()
  const back = sleep(kafkaAwayMs)
  handIn('meanwhile')
  await sleep(kafkaAwayMs / 3)
  await scene.rotate()
  say('kill -9 of the collector while Kafka is away')
  await Promise.all([collector.killAndStart(), scene.rotate()])
  say('the collector takes lines again')
  await back
  await kafka.restart()
  say('Kafka is back')
  await scene.rotate()
}

/** Share of the load's time. */
const FIRST_TROUBLE_AT = 0.2

async function submitTasks(
  { nginx }: EdgeScene,
  tag: string,
  count: number,
  signal: AbortSignal,
): Promise<readonly Handed[]> {
  const { acknowledged } = await submitMany({
    ...{ urls: [nginx.url], queue: QUEUE, count, concurrency: 4, tag, retryForMs: TASKS_WITHIN_MS, signal },
  })
  if (acknowledged.length < count) throw new Error(`only ${acknowledged.length} of ${count} tasks were taken (${tag})`)
  return acknowledged
}

const TASKS_WITHIN_MS = 90_000

async function untilEnded(bootstrap: string, tasks: readonly Handed[]): Promise<Map<string, SeenResult[]>> {
  const giveUpAt = performance.now() + TASKS_WITHIN_MS
  for (;;) {
    const results = await readResults(bootstrap)
    const missing = tasks.filter(({ id }) => !results.has(id))
    if (missing.length === 0) return results
    if (performance.now() > giveUpAt)
      throw new Error(`${missing.length} tasks have not ended, such as ${missing[0]!.id}`)
    await sleep(500)
  }
}

/** Each address that h2load asked for must be there once. */
function missingPaths(paths: readonly string[], rows: readonly TopicRow[]): string[] {
  const seen = new Set(rows.map(({ path, query }) => `${path}?${query}`))
  const missing = paths.filter((path) => !seen.has(path))
  return missing.length === 0 ? [] : [`${missing.length} addresses have no row, such as ${missing[0]}`]
}

/** The row of the request that began a task names it, and so leads to its result. */
function taskWrongs(
  tasks: readonly Handed[],
  rows: readonly TopicRow[],
  results: ReadonlyMap<string, readonly SeenResult[]>,
): string[] {
  const begun = new Set(rows.filter((row) => row.method === 'POST' && row.status === 202).map((row) => row.task))
  return tasks.flatMap(({ id }) => {
    const state = results.get(id)?.[0]?.state
    return [
      ...(begun.has(id) ? [] : [`no row of a POST names the task ${id}`]),
      ...(state === 'succeeded' ? [] : [`the task ${id} ended as ${state}`]),
    ]
  })
}

/** The store holds what the topic does, each row once, and its SQL leads from a request to its task. */
async function storeWrongs(
  store: LogStoreProcess,
  records: readonly TopicRow[],
  tasks: readonly Handed[],
): Promise<string[]> {
  const wanted = new Set(records.filter(({ kind }) => kind === 'access').map(rowName))
  await store.untilAtLeast(wanted.size, 'SELECT count(*) FROM access')
  const rows = await store.query('SELECT source, epoch, first_byte AS first, request_id AS "requestId" FROM access')
  const named = rows.map(({ source, epoch, first, requestId }) =>
    rowName({ place: `${source}@${epoch}`, first: Number(first), requestId: String(requestId) }),
  )
  const seen = new Set(named)
  const missing = [...wanted].filter((name) => !seen.has(name))
  const drops = await store.query('SELECT reason, source, epoch, lost_from, lost_until FROM dropped')
  const told = new Set(
    drops.map(({ lost_until }) => (lost_until == null ? Number.NaN : Date.parse(String(lost_until)))),
  )
  const stretches = records.filter(({ untilMs }) => !Number.isNaN(untilMs))
  const untold = stretches.filter(({ untilMs }) => !told.has(untilMs))
  const joined = await store.query(
    `SELECT count(DISTINCT access.task) AS tasks FROM access JOIN tasks USING (task)
      WHERE method = 'POST' AND status = 202 AND tasks.state = 'succeeded'`,
  )
  const joinedTasks = Number(joined[0]!.tasks)
  return [
    ...(missing.length === 0 ? [] : [`${missing.length} rows are not in the store, such as ${missing[0]}`]),
    ...(named.length === seen.size ? [] : [`${named.length - seen.size} rows are twice in the store`]),
    ...(seen.size <= wanted.size ? [] : [`${seen.size - wanted.size} rows of the store are not on the topic`]),
    ...(untold.length === 0 ? [] : [`the store does not tell of ${untold.length} stretches without a collector`]),
    ...(joinedTasks === tasks.length
      ? []
      : [`SQL joins ${joinedTasks} of ${tasks.length} tasks with the requests that began them`]),
  ]
}

function rowName({ place, first, requestId }: Pick<TopicRow, 'place' | 'first' | 'requestId'>): string {
  return `${place} ${first} ${requestId}`
}
