import { join } from 'node:path'
import { type Broker, systemClock, systemRandom } from '@forebay/broker'
import type { Collector, CollectorOptions, CollectorParts, EdgeMeters } from '@forebay/edge'
import type { Beside, Metrics, ServerOptions } from '@forebay/server'
import type { Logger } from 'pino'
import { Counter, Gauge } from 'prom-client'

interface EdgeParts {
  readonly options: ServerOptions
  readonly broker: Broker
  readonly registry: Metrics['registry']
  readonly log: Logger
}

/** The collector of this process; null where its roles or `edge` name none. Loaded only then. */
export async function collectorBeside({ options, broker, registry, log }: EdgeParts): Promise<Beside | null> {
  if (!options.roles.has('collector') || !isNamed(options.edge)) return null
  const { edgeTopics, startCollector } = await import('@forebay/edge')
  const collecting = await collectorOptions(options)
  let collector: Collector | null = null
  const meters = createEdgeMeters(registry, async () => (await collector?.behind()) ?? { filesBytes: 0, spoolBytes: 0 })
  return {
    topics: edgeTopics(collecting, { partitions: options.partitions, retentionMs: options.edge.retentionMs }),
    async start(opened) {
      collector = await startCollector({
        ...{ options: collecting, broker: onceOpen(broker, opened), meters, log },
        ...{ clock: systemClock, random: systemRandom },
      })
      log.info({ ...collector.ports, files: collecting.files.map(({ path }) => path) }, 'collecting access logs')
    },
    problems: () => collector?.problems() ?? [],
    stop: async (graceMs) => collector?.stop({ graceMs }),
  }
}

/** The collector takes lines before the log is open. */
function onceOpen(broker: Broker, opened: Promise<void>): CollectorParts['broker'] {
  return {
    get capabilities() {
      return broker.capabilities
    },
    async publish(records) {
      await opened
      return broker.publish(records)
    },
  }
}

function isNamed({ files, syslog, http }: ServerOptions['edge']): boolean {
  const doors = [syslog.udp, syslog.tcp, syslog.unix, http.listen, http.unix]
  return files.length > 0 || doors.some((door) => door !== null)
}

async function collectorOptions({ edge, auth, dataDir }: ServerOptions): Promise<CollectorOptions> {
  const { MEMBERS_DEFAULT, PARAMETERS_DEFAULT } = await import('@forebay/edge')
  const { name, files, syslog, http, produce, redact, spool, topic, logsTopic } = edge
  return {
    ...{ name, files, syslog, produce, spool, topic, logsTopic },
    dir: join(dataDir, 'edge'),
    http: { ...http, keys: auth.keys.map(({ sha256 }) => sha256) },
    redact: {
      parameters: redact.parameters ?? PARAMETERS_DEFAULT,
      client: redact.client,
      members: redact.members ?? MEMBERS_DEFAULT,
    },
  }
}

interface Behind {
  readonly filesBytes: number
  readonly spoolBytes: number
}

function createEdgeMeters(registry: Metrics['registry'], behind: () => Promise<Behind>): EdgeMeters {
  const registers = [registry]
  const rows = new Counter({
    name: 'forebay_edge_rows_total',
    help: 'Rows that are safe: of files in the log, of syslog and HTTP in the spool.',
    labelNames: ['road'],
    registers,
  })
  const undecodable = new Counter({
    name: 'forebay_edge_undecodable_total',
    help: 'Those of them that could not be read and are kept as they came.',
    labelNames: ['road'],
    registers,
  })
  const dropped = new Counter({
    name: 'forebay_edge_dropped_lines_total',
    help: 'Lines that are known to be lost; one for each time where nobody knows how many. Each is told in a row too.',
    labelNames: ['reason'],
    registers,
  })
  const refused = new Counter({
    name: 'forebay_edge_refused_total',
    help: 'Batches over HTTP that were refused as the spool was full.',
    registers,
  })
  const produced = new Counter({
    name: 'forebay_edge_produced_total',
    help: 'Messages that were produced at the edge, by what the sender was told.',
    labelNames: ['outcome'],
    registers,
  })
  new Gauge({
    name: 'forebay_edge_behind_bytes',
    help: 'Bytes on the disk of this machine that are not in the log.',
    labelNames: ['place'],
    registers,
    async collect() {
      const { filesBytes, spoolBytes } = await behind()
      this.set({ place: 'files' }, filesBytes)
      this.set({ place: 'spool' }, spoolBytes)
    },
  })
  return {
    kept(road, lines, odd) {
      rows.inc({ road }, lines)
      if (odd > 0) undecodable.inc({ road }, odd)
    },
    dropped: (reason, lines) => dropped.inc({ reason }, lines ?? 1),
    refused: () => refused.inc(),
    produced: (outcome) => produced.inc({ outcome }),
  }
}
