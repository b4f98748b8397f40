import { join } from 'node:path'
import type { Broker, Clock, Random, TopicSpec } from '@forebay/broker'
import { openSqliteFile, type SqliteFile } from '@forebay/broker/embedded'
import { createRedaction } from './decode/redaction.ts'
import { EdgeHttpDoor } from './http/http-door.ts'
import { BodyRoom } from './http/read-body.ts'
import { Intake } from './intake.ts'
import type { EdgeMeters, EdgeRoad } from './meters.ts'
import type { CollectorOptions } from './options.ts'
import { Shipper } from './ship.ts'
import { Spool } from './spool/spool.ts'
import { SpoolRoad } from './spool/spool-road.ts'
import { StreamDoor } from './syslog/stream-door.ts'
import { UdpDoor } from './syslog/udp-door.ts'
import { FileTail } from './tail/file-tail.ts'
import { Positions } from './tail/positions.ts'

export interface CollectorParts {
  readonly options: CollectorOptions
  /** With the topics of `edgeTopics`; need not be open yet. Stays the caller's. */
  readonly broker: Pick<Broker, 'publish' | 'capabilities'>
  readonly clock: Clock
  readonly random: Random
  readonly meters: EdgeMeters
  /** What an operator should know. */
  readonly log: EdgeLog
}

/** The few methods of a logger that are called. */
export interface EdgeLog {
  info(details: object, text: string): void
  warn(details: object, text: string): void
}

export interface Collector extends AsyncDisposable {
  /** Ports that were picked where 0 was asked for; null where nothing listens. */
  readonly ports: { readonly udp: number | null; readonly tcp: number | null; readonly http: number | null }
  /** What keeps it from doing its work right now, one line each; empty when it is well. */
  problems(): readonly string[]
  /** Bytes that are on this machine's disk and not in the log, as far as is known. */
  behind(): Promise<{ readonly filesBytes: number; readonly spoolBytes: number }>
  /** Takes nothing new, ships what is under way within the grace time. What is left is on the disk. Safe to call twice. */
  stop(options?: { readonly graceMs?: number }): Promise<void>
}

/** What the log must have for a collector; produced-to topics are made as well. */
export function edgeTopics(
  { topic, logsTopic, produce }: Pick<CollectorOptions, 'topic' | 'logsTopic' | 'produce'>,
  kept: Pick<TopicSpec, 'partitions' | 'retentionMs'>,
): TopicSpec[] {
  return [...new Set([topic, logsTopic, ...produce])].map((name) => ({ name, ...kept }))
}

/**
 * Starts whatever the options name. Throws what stands in the way, with everything closed again; DATA_IN_USE where another
 * collector has the folder.
 */
export async function startCollector(parts: CollectorParts): Promise<Collector> {
  const collector = new RunningCollector(parts)
  try {
    await collector.start()
    return collector
  } catch (thrown) {
    await collector.stop({ graceMs: 0 })
    throw thrown
  }
}

class RunningCollector implements Collector {
  readonly ports: { udp: number | null; tcp: number | null; http: number | null } = { udp: null, tcp: null, http: null }
  readonly #parts: CollectorParts
  readonly #shipper: Shipper
  readonly #tails: FileTail[] = []
  readonly #streams: StreamDoor[] = []
  readonly #roads: SpoolRoad[] = []
  readonly #spools: Spool[] = []
  /** Two would remove each other's files of the spool, and overwrite each other's positions. */
  #hold: SqliteFile | null = null
  #positions: Positions | null = null
  #udp: UdpDoor | null = null
  #http: EdgeHttpDoor | null = null
  #stopping: Promise<void> | null = null

  constructor(parts: CollectorParts) {
    this.#parts = parts
    const { broker, clock, random, log } = parts
    this.#shipper = new Shipper({
      broker,
      clock,
      random,
      onTrouble: (cause) => log.warn({ err: cause }, 'the log does not take edge rows; trying again'),
      onBetter: () => log.info({}, 'the log takes edge rows again'),
    })
  }

  async start(): Promise<void> {
    const { options } = this.#parts
    this.#hold = openSqliteFile(join(options.dir, 'collector'))
    await this.#startTails()
    const { udp, tcp, unix } = options.syslog
    const hasHttp = options.http.listen !== null || options.http.unix !== null
    if (udp === null && tcp === null && unix === null && !hasHttp) return
    const spool = await this.#openSpool('spool', options.spool.whenFull)
    await this.#startSyslog(spool)
    if (hasHttp) await this.#startHttp(spool)
  }

  problems(): readonly string[] {
    return this.#shipper.healthy ? [] : ['the log does not take edge rows']
  }

  async behind(): Promise<{ filesBytes: number; spoolBytes: number }> {
    const files = await Promise.all(this.#tails.map((tail) => tail.behindBytes()))
    const sum = (numbers: readonly number[]) => numbers.reduce((all, one) => all + one, 0)
    return { filesBytes: sum(files), spoolBytes: sum(this.#spools.map((spool) => (spool.isEmpty ? 0 : spool.bytes))) }
  }

  stop({ graceMs = STOP_GRACE_MS }: { readonly graceMs?: number } = {}): Promise<void> {
    this.#stopping ??= this.#stop(graceMs)
    return this.#stopping
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #startTails(): Promise<void> {
    const { options, clock, random, log, meters } = this.#parts
    if (options.files.length === 0) return
    this.#positions = await Positions.open(join(options.dir, 'positions.json'), clock, (cause) =>
      log.warn({ err: cause }, 'the positions of files cannot be saved; rows will come again after a crash'),
    )
    for (const { path, format, from } of options.files) {
      const tail = new FileTail({
        options: { ...this.#decoding(format), path, from, source: `${options.name}:${path}` },
        positions: this.#positions,
        shipper: this.#shipper,
        clock,
        random,
        meters,
        onTrouble: (text, cause) => log.warn({ err: cause }, text),
      })
      this.#tails.push(tail)
      tail.start()
    }
  }

  async #openSpool(
    name: string,
    whenFull: 'refuse' | 'drop-oldest',
    topic = this.#parts.options.topic,
  ): Promise<Spool> {
    const { options, clock, log, meters } = this.#parts
    const spool = await Spool.open({
      dir: join(options.dir, name),
      bytesMax: options.spool.bytesMax,
      whenFull,
      topic,
      source: `${options.name}:${name}`,
      clock,
      onDropped: (loss) => {
        log.warn(loss, 'rows of the edge are lost')
        meters.dropped(loss.reason, loss.lines)
      },
    })
    this.#spools.push(spool)
    const road = new SpoolRoad(spool, this.#shipper, clock, this.#saying(`the ${name} cannot be read`))
    this.#roads.push(road)
    road.start()
    return spool
  }

  async #startSyslog(spool: Spool): Promise<void> {
    const { options, clock, random, log } = this.#parts
    const { udp, tcp, unix, format } = options.syslog
    const saying = this.#saying('syslog lines cannot be kept')
    if (udp !== null) {
      this.#udp = await UdpDoor.open(udp, {
        intake: this.#intake(spool, 'syslog', 'udp', format),
        notePath: join(options.dir, 'syslog-udp'),
        ...{ clock, random },
        onTrouble: saying,
        onMissed: (loss) => log.warn(loss, 'nobody received what was sent meanwhile'),
      })
      this.ports.udp = this.#udp.port
    }
    if (tcp !== null) {
      const door = await StreamDoor.open(tcp, this.#intake(spool, 'syslog', 'tcp', format), clock, saying)
      this.#streams.push(door)
      this.ports.tcp = door.port
    }
    if (unix !== null) {
      const intake = this.#intake(spool, 'syslog', 'unix', format)
      this.#streams.push(await StreamDoor.open({ path: unix }, intake, clock, saying))
    }
  }

  async #startHttp(spool: Spool): Promise<void> {
    const { options, broker, clock, meters } = this.#parts
    // Of their own, so that neither a flood of logs nor one of requests takes the other's room.
    const serviceSpool = await this.#openSpool('service-logs', options.spool.whenFull, options.logsTopic)
    const messages = options.produce.length === 0 ? spool : await this.#openSpool('messages', 'refuse')
    const bodies = new BodyRoom(BODIES_BYTES_MAX)
    this.#http = new EdgeHttpDoor({
      options: options.http,
      logs: {
        decoding: this.#decoding('json'),
        spool,
        meters,
        intake: this.#intake(spool, 'http', 'http', 'json'),
        bodies,
      },
      serviceLogs: {
        decoding: this.#decoding('log'),
        spool: serviceSpool,
        meters,
        intake: this.#intake(serviceSpool, 'http', 'service-logs', 'log'),
        bodies,
      },
      otlp: {
        intake: this.#intake(serviceSpool, 'otlp', 'otlp', 'log'),
        redaction: createRedaction(options.redact),
        ...{ clock, meters, bodies },
      },
      produce: { broker, spool: messages, topics: new Set(options.produce), meters, clock, bodies },
      onTrouble: this.#saying('a request over HTTP failed'),
    })
    this.ports.http = await this.#http.listen()
  }

  #intake(spool: Spool, road: EdgeRoad, name: string, format: CollectorOptions['syslog']['format']): Intake {
    const { options, clock, random, meters } = this.#parts
    const source = `${options.name}:${name}`
    return new Intake({ decoding: this.#decoding(format), spool, road, source, clock, random, meters })
  }

  #decoding(format: CollectorOptions['syslog']['format']) {
    const { options, clock } = this.#parts
    const topic = format === 'log' ? options.logsTopic : options.topic
    return { topic, format, redaction: createRedaction(options.redact), clock }
  }

  #saying(text: string) {
    return (cause: unknown) => this.#parts.log.warn({ err: cause }, text)
  }

  /** First whoever brings something, then what carries it on. */
  async #stop(graceMs: number): Promise<void> {
    const graceOver = new AbortController()
    const timer = this.#parts.clock.timer(graceMs, () => graceOver.abort(new Error('The grace time is over.')))
    const { signal } = graceOver
    await Promise.all([
      this.#http?.stop(signal),
      this.#udp?.stop(),
      ...this.#streams.map((door) => door.stop()),
      ...this.#tails.map((tail) => tail.stop(signal)),
    ])
    await Promise.all(this.#roads.map((road) => road.stop(signal)))
    await Promise.all(this.#spools.map((spool) => spool.close()))
    await this.#positions?.close()
    this.#hold?.close()
    timer.cancel()
  }
}

const STOP_GRACE_MS = 10_000
/** Bodies that are in memory at once. */
const BODIES_BYTES_MAX = 64 * 1024 * 1024
