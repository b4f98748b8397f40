import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kafkaBroker } from '@forebay/broker/kafka'
import { EDGE_TOPIC } from '@forebay/edge'
import { runLoad } from '../e2e/edge/load.ts'
import { startForebay } from '../e2e/forebay.ts'
import { startKafka } from '../scripts/rig/kafka.ts'
import { startAnsweringNginx, startGeneratedNginx } from '../scripts/rig/nginx.ts'
import { freePort } from '../scripts/rig/process.ts'
import { store } from './compare.ts'
import { describeMachine } from './machine.ts'
import { type Percentiles, percentilesOf } from './percentiles.ts'

export interface EdgeAgeOptions {
  readonly seconds: number
}

interface Figures extends Percentiles {
  readonly road: string
  readonly perSecond: number
  readonly rows: number
}

/**
 * How old rows are when somebody who reads Kafka has them: from the end of the request, as nginx says it, by road and
 * rate. True when every row came.
 */
export async function edgeAge({ seconds }: EdgeAgeOptions): Promise<boolean> {
  const machine = describeMachine()
  await using stack = new AsyncDisposableStack()
  const dir = mkdtempSync(join(tmpdir(), 'forebay-edge-age-'))
  stack.defer(() => rmSync(dir, { recursive: true, force: true }))
  const kafka = stack.use(await startKafka())
  const upstream = stack.use(await startAnsweringNginx())
  const gateway = { http: upstream.url.replace('http://', ''), grpc: '127.0.0.1:1' }
  const [udp, http] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`]
  const off = ['--access-log', 'off']
  const byFile = stack.use(await startGeneratedNginx([gateway], { flags: [] }))
  const bySyslog = stack.use(await startGeneratedNginx([gateway], { flags: [...off, '--syslog', udp] }))
  const byLua = stack.use(await startGeneratedNginx([gateway], { flags: [...off, '--collector', http], lua: true }))
  const edge = { name: 'bench', files: [{ path: byFile.accessLog }], syslog: { udp }, http: { listen: http } }
  const config = { broker: `kafka://${kafka.bootstrap}`, partitions: 1, edge }
  stack.use(await startForebay({ config, roles: ['collector'] }))

  const arrivals = new Arrivals(kafka.bootstrap)
  await arrivals.open()
  stack.defer(() => arrivals.close())
  const figures: Figures[] = []
  for (const perSecond of RATES) {
    for (const [road, { url }] of Object.entries({ file: byFile, syslog: bySyslog, Lua: byLua })) {
      // The first second finds everything cold.
      await arrivals.after(WARM_UP_REQUESTS, runLoad({ url, requests: WARM_UP_REQUESTS, perSecond, dir }))
      const requests = perSecond * seconds
      const ages = await arrivals.after(requests, runLoad({ url, requests, perSecond, dir }))
      const measured = { road, perSecond, rows: ages.length, ...percentilesOf(ages) }
      figures.push(measured)
      console.log(
        `${String(perSecond).padStart(5)}/s  ${road.padEnd(7)} p50 ${measured.p50Ms.toFixed(0)} ms  p99 ${measured.p99Ms.toFixed(0)} ms  ` +
          `max ${measured.maxMs.toFixed(0)} ms  ${ages.length} of ${requests} rows`,
      )
    }
  }
  await store('edge-age', { machine, seconds, figures })
  return figures.every(({ rows, perSecond }) => rows === perSecond * seconds)
}

const RATES = [100, 1_000]
const WARM_UP_REQUESTS = 200

/** Reads the topic as it grows, and notes how old each row is. */
class Arrivals {
  readonly #broker
  #ages: number[] = []
  #reading: Promise<void> = Promise.resolve()
  #close: () => Promise<void> = async () => {}

  constructor(bootstrap: string) {
    this.#broker = kafkaBroker({ bootstrap: [bootstrap] })
  }

  async open(): Promise<void> {
    await this.#broker.open({ topics: [] })
    const listener = await this.#broker.listen({ topic: EDGE_TOPIC, partition: 0, from: 'latest' })
    this.#close = () => listener.close()
    this.#reading = (async () => {
      for await (const records of listener) {
        const nowMs = Date.now()
        for (const { value } of records) this.#ages.push(nowMs - endedMs(value!))
      }
    })()
  }

  /** Ages of the rows that come from now on, until there are so many or no more come. ms */
  async after(count: number, load: Promise<unknown>): Promise<readonly number[]> {
    this.#ages = []
    await load
    const giveUpAt = performance.now() + COME_WITHIN_MS
    while (this.#ages.length < count && performance.now() < giveUpAt) await new Promise((done) => setTimeout(done, 50))
    return this.#ages
  }

  async close(): Promise<void> {
    await this.#close()
    await this.#reading
    await this.#broker.close()
  }
}

const COME_WITHIN_MS = 10_000

function endedMs(value: Uint8Array): number {
  const { time } = JSON.parse(Buffer.from(value).toString()) as { time: string }
  return Date.parse(time)
}
