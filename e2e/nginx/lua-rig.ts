import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Broker, type LogRecord, systemClock, systemRandom } from '@forebay/broker'
import { embeddedBroker } from '@forebay/broker/embedded'
import {
  type Collector,
  type CollectorOptions,
  EDGE_TOPIC,
  Intervals,
  readPosition,
  startCollector,
} from '@forebay/edge'

export const TOPIC = 'orders'

/** A real collector on a unix socket that can go away and come back, and the log that it publishes to. */
export interface LuaRig extends AsyncDisposable {
  /** For `forebay nginx --collector`. */
  readonly address: string
  /** Path of a file in a folder of its own. */
  file(name: string): string
  away(): Promise<void>
  back(): Promise<void>
  /** While false, the log takes nothing. */
  logTakes: boolean
  /** What of the edge is in the log by now; waits until `enough`. */
  until(enough: (seen: Seen) => boolean): Promise<Seen>
  /** Values of the topic of messages, in order. */
  produced(count: number): Promise<LogRecord[]>
}

export interface Seen {
  /** Each once, by its place. */
  readonly rows: Record<string, unknown>[]
  /** Lines that rows say are lost. */
  readonly dropped: number
  readonly undecodable: number
  readonly epochs: ReadonlyMap<string, Intervals>
}

export async function startLuaRig({ keys = [] }: { readonly keys?: readonly string[] } = {}): Promise<LuaRig> {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-lua-'))
  const unix = join(dir, 'edge.sock')
  const broker = embeddedBroker({ dir: join(dir, 'log'), clock: systemClock, random: systemRandom })
  const topics = [EDGE_TOPIC, TOPIC].map((name) => ({ name, partitions: 1, retentionMs: 3_600_000 }))
  await broker.open({ topics })
  const options = collectorOptions(dir, unix, keys)
  let collector: Collector | null = null
  const rig: LuaRig = {
    address: `unix:${unix}`,
    file: (name) => join(dir, name),
    logTakes: true,
    async back() {
      collector = await startCollector({
        ...{ options, broker: wrapped, clock: systemClock, random: systemRandom },
        ...{ meters: { kept() {}, dropped() {}, refused() {}, produced() {} }, log: { info() {}, warn() {} } },
      })
    },
    async away() {
      await collector?.stop({ graceMs: 500 })
      collector = null
    },
    until: (enough) => readUntil(broker, enough),
    async produced(count) {
      const records: LogRecord[] = []
      for await (const some of listened(broker, TOPIC)) {
        records.push(...some)
        if (records.length >= count) break
      }
      return records
    },
    async [Symbol.asyncDispose]() {
      await rig.away()
      await broker.close()
      rmSync(dir, { recursive: true, force: true })
    },
  }
  const publish: Broker['publish'] = (records) =>
    rig.logTakes ? broker.publish(records) : Promise.reject(new Error('away'))
  const wrapped = { capabilities: broker.capabilities, publish }
  await rig.back()
  return rig
}

async function readUntil(broker: Broker, enough: (seen: Seen) => boolean): Promise<Seen> {
  const rows: Record<string, unknown>[] = []
  const epochs = new Map<string, Intervals>()
  const losses = new Set<string>()
  let [dropped, undecodable] = [0, 0]
  for await (const records of listened(broker, EDGE_TOPIC)) {
    for (const record of records) {
      const value = Buffer.from(record.value!).toString()
      const row = JSON.parse(value) as Record<string, unknown>
      const { source, epoch, first, end } = readPosition(record)!
      if (row.kind === 'dropped') {
        if (!losses.has(value)) dropped += Number(row.lines)
        losses.add(value)
        continue
      }
      const name = `${source}@${epoch}`
      const places = epochs.get(name) ?? new Intervals()
      epochs.set(name, places)
      if (!places.add(first, end)) continue
      if (row.kind === 'undecodable') undecodable++
      else rows.push(row)
    }
    const seen = { rows, dropped, undecodable, epochs }
    if (enough(seen)) return seen
  }
  throw new Error('the log ended')
}

async function* listened(broker: Broker, topic: string): AsyncGenerator<readonly LogRecord[]> {
  const listener = await broker.listen({ topic, partition: 0, from: 'earliest' })
  try {
    yield* listener
  } finally {
    await listener.close()
  }
}

function collectorOptions(dir: string, unix: string, keys: readonly string[]): CollectorOptions {
  return {
    ...{ name: 'web-1', dir: join(dir, 'edge'), topic: EDGE_TOPIC, logsTopic: 'forebay.edge.logs', files: [] },
    syslog: { udp: null, tcp: null, unix: null, format: 'json' },
    http: { listen: null, unix, keys },
    produce: [TOPIC],
    spool: { bytesMax: 256 * 1024 * 1024, whenFull: 'refuse' },
    redact: { parameters: ['token'], client: 'keep', members: ['cookie'] },
  }
}
