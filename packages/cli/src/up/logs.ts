import { join } from 'node:path'
import { type Broker, type LogRecord, systemClock, systemRandom } from '@forebay/broker'
import type { IncomingRow, LogStore, LogStoreMeters } from '@forebay/edge/store'
import type { Beside, LogQueries, Metrics, ServerOptions } from '@forebay/server'
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
        ...(trouble !== null && edge.logs.store === 'local' ? [`no logs are kept (${trouble})`] : []),
      ],
      async stop(graceMs) {
        await (await starting)?.stop({ graceMs })
      },
    },
    queries: {
      query: ({ sql, ...limits }, signal) => door.queryLogs(logsFolder(options), sql, { ...limits, signal }),
      tail: (question, signal) => door.tailLogs(logsFolder(options), { ...question, signal }),
    },
  }

  async function start(): Promise<LogStore> {
    const { retentionMs, bytesMax } = edge.logs
    store = await door.LogStore.start({
      options: { dir: logsFolder(options), retentionMs, bytesMax },
      ...{ broker, topics, log, meters, clock: systemClock, random: systemRandom },
    })
    log.info({ folder: logsFolder(options) }, 'keeping logs: forebay logs query, forebay logs tail')
    return store
  }
}

export function logsFolder({ edge, dataDir }: Pick<ServerOptions, 'edge' | 'dataDir'>): string {
  return edge.logs.directory ?? join(dataDir, 'logs')
}

function keepsLogs({ roles, edge, broker }: ServerOptions, collects: boolean): boolean {
  if (!roles.has('logs') || edge.logs.store === 'none') return false
  return edge.logs.store === 'local' || (collects && broker.kind === 'embedded')
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
