import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Broker, systemClock, systemRandom } from '@forebay/broker'
import type { Metrics, Server, ServerOptions, Store } from '@forebay/server'
import type { Logger } from 'pino'
import { besides } from './besides.ts'
import { collectorBeside } from './edge.ts'
import { logsBeside } from './logs.ts'

/** The parts of one process, put together by hand; nothing has been opened. The server opens and closes them. */
export interface Composition {
  readonly server: Server
  readonly broker: Broker
  readonly metrics: Metrics
}

/** Loads the server only now: no other command needs it, and it takes a few hundred milliseconds. */
export async function compose(options: ServerOptions, log: Logger): Promise<Composition> {
  const { createBlobs, createMetrics, createServer } = await import('@forebay/server')
  const metrics = createMetrics()
  const broker = await openBroker(options, log)
  const store = await openStore(options)
  const telemetry = { log, metrics }
  const blobs = createBlobs(options, { clock: systemClock, random: systemRandom })
  const edge = { options, broker, registry: metrics.registry, log }
  const collector = await collectorBeside(edge)
  const logs = await logsBeside(edge, collector !== null)
  const beside = besides([collector, logs?.beside ?? null])
  const chance = { clock: systemClock, random: systemRandom }
  const server = createServer({
    options,
    broker,
    store,
    blobs,
    beside,
    logs: logs?.queries ?? null,
    ...chance,
    telemetry,
  })
  return { server, broker, metrics }
}

/** As with brokers: the client of each store is loaded only when it is named. */
export async function openStore({ store, dataDir, retentionMs }: ServerOptions): Promise<Store> {
  if (store.kind === 'postgres') {
    const { postgresStore } = await import('@forebay/server/postgres')
    return postgresStore({ url: store.url, connectionsMax: store.connectionsMax, retentionMs, clock: systemClock })
  }
  if (store.kind === 'redis') {
    const { redisStore } = await import('@forebay/server/redis')
    return redisStore({ url: store.url, retentionMs, clock: systemClock })
  }
  const { embeddedStore } = await import('@forebay/server')
  return embeddedStore({ dir: join(dataDir, 'store'), retentionMs, clock: systemClock })
}

/** Kafka's client takes about a second to load, so each adapter is loaded only when it is named. */
export async function openBroker(options: ServerOptions, log: Logger): Promise<Broker> {
  if (options.broker.kind === 'embedded') {
    const { embeddedBroker } = await import('@forebay/broker/embedded')
    return embeddedBroker({
      dir: logFolder(options),
      recordBytesMax: recordBytesMax(options),
      clock: systemClock,
      random: systemRandom,
    })
  }
  const { kafkaBroker } = await import('@forebay/broker/kafka')
  const { bootstrap, tls, sasl, replicationFactor, fsync, compression } = options.broker
  return kafkaBroker({
    bootstrap,
    clientId: `forebay-${options.instance}`,
    ...(tls === null
      ? {}
      : {
          tls: {
            ...(tls.ca === undefined ? {} : { ca: readFileSync(tls.ca) }),
            ...(tls.cert === undefined ? {} : { cert: readFileSync(tls.cert) }),
            ...(tls.key === undefined ? {} : { key: readFileSync(tls.key) }),
            ...(tls.rejectUnauthorized === undefined ? {} : { rejectUnauthorized: tls.rejectUnauthorized }),
          },
        }),
    ...(sasl === null ? {} : { sasl }),
    ...(replicationFactor === null ? {} : { replicationFactor }),
    fsync,
    compression,
    recordBytesMax: recordBytesMax(options),
    onWarning: (text, details) => log.warn(details, text),
    clock: systemClock,
    random: systemRandom,
  })
}

/**
 * Room for the largest body that stays in the log, with its key and headers, also as a dead letter; never less than a
 * result.
 */
function recordBytesMax({ http, queues, blobs }: ServerOptions): number {
  const bodies = Math.max(http.bodyBytesMax, ...[...queues.values()].map((queue) => queue.bodyBytesMax))
  const inRecords = blobs.place === null ? bodies : Math.min(bodies, blobs.aboveBytes)
  return Math.max(RECORD_BYTES_LEAST, inRecords) + RECORD_HEADROOM_BYTES
}

const RECORD_BYTES_LEAST = 1_048_576
const RECORD_HEADROOM_BYTES = 65_536

export function logFolder(options: ServerOptions): string {
  return join(options.dataDir, 'log')
}
