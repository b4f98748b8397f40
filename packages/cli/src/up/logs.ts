import { join } from 'node:path'
import { type Broker, type LogRecord, systemClock, systemRandom } from '@forebay/broker'
import { readIfThere, writeDurably } from '@forebay/broker/durable-file'
import type { IncomingRow, LogStore, LogStoreMeters } from '@forebay/edge/store'
import type { Beside, LogQueries, Metrics, ServerOptions } from '@forebay/server'
import { storeAddress } from '@forebay/server/configuration'
import type { Logger } from 'pino'
import { Counter, Histogram } from 'prom-client'

interface LogsParts {
  readonly options: ServerOptions
  readonly broker: Broker
  readonly registry: Metrics['registry']
  readonly log: Logger
}

/** The log store of this process and what operators ask of it; null where it keeps none. Loaded only then. */
export async function logsBeside(
  parts: LogsParts,
  collects: boolean,
): Promise<{ readonly beside: Beside; readonly queries: LogQueries } | null> {
  const { options, broker, registry, log } = parts
  if (!keepsLogs(options, collects)) return null
  const door = await import('@forebay/edge/store')
  const { edge, partitions } = options
  const topics = await readersOf(options)
  let starting: Promise<LogStore | null> = Promise.resolve(null)
  let store: LogStore | null = null
  let trouble: string | null = null
  const meters = createLogsMeters(registry)
  return {
    beside: {
      topics: [edge.topic, edge.logsTopic].map((name) => ({ name, partitions, retentionMs: edge.retentionMs })),
      /** The doors do not wait for it: requests matter more than what is written about them. */
      async start(opened) {
        starting = opened.then(start).catch((thrown: unknown) => {
          trouble = thrown instanceof Error ? thrown.message : String(thrown)
          log.warn({ err: thrown }, 'no logs are kept')
          return null
        })
      },
      problems: () => [
        ...(store?.problems() ?? []),
        ...(trouble !== null && edge.logs.store !== 'auto' ? [`no logs are kept (${trouble})`] : []),
      ],
      async stop(graceMs) {
        await (await starting)?.stop({ graceMs })
      },
    },
    queries: queriesOf(door, logsPlace(options)),
  }

  async function start(): Promise<LogStore> {
    const { retentionMs, bytesMax } = edge.logs
    const place = logsPlace(options)
    const readers =
      'url' in place && options.broker.kind === 'embedded' ? await withOwnEpoch(topics, options.dataDir) : topics
    store = await door.LogStore.start({
      options: { ...place, retentionMs, bytesMax },
      topics: readers,
      ...{ broker, log, meters, clock: systemClock, random: systemRandom },
    })
    const kept = 'dir' in place ? { folder: place.dir } : { address: storeAddress(place.url) }
    log.info(kept, 'keeping logs: forebay logs query, forebay logs tail')
    return store
  }
}

/** Where rows are kept: a folder, or a PostgreSQL. */
export type LogsPlace = { readonly dir: string } | { readonly url: string }

export function logsPlace({ edge, dataDir }: Pick<ServerOptions, 'edge' | 'dataDir'>): LogsPlace {
  if (isAddress(edge.logs.store)) return { url: edge.logs.store }
  return { dir: edge.logs.directory ?? join(dataDir, 'logs') }
}

/** What answers questions about the rows of that place. */
export function queriesOf(door: typeof import('@forebay/edge/store'), place: LogsPlace): LogQueries {
  if ('url' in place) {
    return {
      query: ({ sql, ...limits }, signal) => door.queryPostgres(place.url, sql, { ...limits, signal }),
      tail: (question, signal) => door.tailPostgres(place.url, { ...question, signal }),
    }
  }
  return {
    query: ({ sql, ...limits }, signal) => door.queryLogs(place.dir, sql, { ...limits, signal }),
    tail: (question, signal) => door.tailLogs(place.dir, { ...question, signal }),
  }
}

function keepsLogs({ roles, edge, broker }: ServerOptions, collects: boolean): boolean {
  if (!roles.has('logs') || edge.logs.store === 'none') return false
  return edge.logs.store === 'local' || isAddress(edge.logs.store) || (collects && broker.kind === 'embedded')
}

function isAddress(store: ServerOptions['edge']['logs']['store']): store is `postgres${string}` {
  return store.startsWith('postgres')
}

type Read = (record: LogRecord) => IncomingRow | null

/** Rows of the edge, and what can be joined to them. */
async function readersOf({ edge, queues, events }: ServerOptions): Promise<ReadonlyMap<string, Read>> {
  const { readEvent, readRow, readTask, readTaskReport } = await import('@forebay/edge/store')
  const { RESULTS_TOPIC } = await import('@forebay/server')
  const readers = new Map<string, Read>()
  for (const { topic } of events.values()) readers.set(topic, readEvent)
  for (const { topic, name } of queues.values()) {
    if (!readers.has(topic)) readers.set(topic, (record) => readTask(record, name))
  }
  readers.set(RESULTS_TOPIC, readTaskReport)
  readers.set(edge.logsTopic, readRow)
  readers.set(edge.topic, readRow)
  return readers
}

/**
 * Places in an embedded log begin anew with each data folder, and PostgreSQL may keep the rows of several: so they get an epoch of
 * this folder.
 */
async function withOwnEpoch(readers: ReadonlyMap<string, Read>, dataDir: string): Promise<ReadonlyMap<string, Read>> {
  const { LOG_EPOCH } = await import('@forebay/edge/store')
  const file = join(dataDir, 'log-epoch')
  let identity = (await readIfThere(file)) ?? ''
  if (identity === '') {
    const bytes = new Uint8Array(IDENTITY_BYTES)
    systemRandom.fill(bytes)
    identity = Buffer.from(bytes).toString('base64url')
    await writeDurably(file, identity)
  }
  const epoch = `${LOG_EPOCH}-${identity}`
  const own = (row: IncomingRow | null) => (row?.epoch === LOG_EPOCH ? { ...row, epoch } : row)
  return new Map([...readers].map(([topic, read]) => [topic, (record: LogRecord) => own(read(record))]))
}

function createLogsMeters(registry: Metrics['registry']): LogStoreMeters {
  const registers = [registry]
  const rows = new Counter({ name: 'forebay_logs_rows_total', help: 'Rows of the log store, on the disk.', registers })
  const repeats = new Counter({
    name: 'forebay_logs_repeats_total',
    help: 'Records that had come before, or hold no row: passed over.',
    registers,
  })
  const took = new Histogram({
    name: 'forebay_logs_write_seconds',
    help: 'Time to write one group of rows.',
    buckets: [0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  })
  return {
    written(count, again, tookMs) {
      rows.inc(count)
      repeats.inc(again)
      took.observe(tookMs / 1_000)
    },
  }
}

const IDENTITY_BYTES = 12
