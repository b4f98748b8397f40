import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { kafkaBroker } from '@forebay/broker/kafka'
import { EDGE_TOPIC } from '@forebay/edge'
import { tailLogs } from '@forebay/edge/store'
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
  readonly place: string
  readonly perSecond: number
  readonly rows: number
}

/**
 * How old rows are when somebody has them who reads Kafka, and who tails the log store: from the end of the request, as nginx
 * says it, by road and rate. True when every row came to both.
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
  const edge = {
    ...{ name: 'bench', files: [{ path: byFile.accessLog }], syslog: { udp }, http: { listen: http } },
    logs: { store: 'local' },
  }
  const config = { broker: `kafka://${kafka.bootstrap}`, partitions: 1, edge }
  const forebay = stack.use(await startForebay({ config, roles: ['collector', 'logs'] }))
  await forebay.rig.line(/"keeping logs/)

  const arrivals = await Promise.all([heardOnKafka(kafka.bootstrap), heardInStore(join(forebay.dir, 'data', 'logs'))])
  for (const one of arrivals) stack.use(one)
  const figures: Figures[] = []
  for (const perSecond of RATES) {
    for (const [road, { url }] of Object.entries({ file: byFile, syslog: bySyslog, Lua: byLua })) {
      // What comes first finds everything cold.
      for (const requests of [WARM_UP_REQUESTS, perSecond * seconds]) {
        for (const one of arrivals) one.ages.length = 0
        await runLoad({ url, requests, perSecond, dir })
        await untilAllHave(arrivals, requests)
      }
      for (const { place, ages } of arrivals) {
        const measured = { road, place, perSecond, rows: ages.length, ...percentilesOf(ages) }
        figures.push(measured)
        console.log(
          `${String(perSecond).padStart(5)}/s  ${road.padEnd(7)} ${place.padEnd(6)} p50 ${measured.p50Ms.toFixed(0)} ms  ` +
            `p99 ${measured.p99Ms.toFixed(0)} ms  max ${measured.maxMs.toFixed(0)} ms  ${ages.length} of ${perSecond * seconds} rows`,
        )
      }
    }
  }
  await store('edge-age', { machine, seconds, figures })
  return figures.every(({ rows, perSecond }) => rows === perSecond * seconds)
}

const RATES = [100, 1_000]
const WARM_UP_REQUESTS = 200
const COME_WITHIN_MS = 10_000

/** Whoever hears of rows as they come. */
interface Arrivals extends AsyncDisposable {
  readonly place: string
  /** How old each was. ms */
  readonly ages: number[]
}

async function untilAllHave(arrivals: readonly Arrivals[], count: number): Promise<void> {
  const giveUpAt = performance.now() + COME_WITHIN_MS
  while (arrivals.some(({ ages }) => ages.length < count) && performance.now() < giveUpAt) await sleep(50)
}

async function heardOnKafka(bootstrap: string): Promise<Arrivals> {
  const broker = kafkaBroker({ bootstrap: [bootstrap] })
  await broker.open({ topics: [] })
  const listener = await broker.listen({ topic: EDGE_TOPIC, partition: 0, from: 'latest' })
  const ages: number[] = []
  const reading = (async () => {
    for await (const records of listener) {
      const nowMs = Date.now()
      for (const { value } of records) ages.push(nowMs - endedMs(Buffer.from(value!).toString()))
    }
  })()
  return {
    place: 'Kafka',
    ages,
    async [Symbol.asyncDispose]() {
      await listener.close()
      await reading
      await broker.close()
    },
  }
}

async function heardInStore(dir: string): Promise<Arrivals> {
  const over = new AbortController()
  const ages: number[] = []
  const began = Promise.withResolvers<void>()
  const reading = (async () => {
    let timeAt = 0
    for await (const part of tailLogs(dir, { signal: over.signal })) {
      if ('columns' in part) timeAt = part.columns.findIndex(({ name }) => name === 'time')
      began.resolve()
      if (!('rows' in part)) continue
      const nowMs = Date.now()
      for (const row of part.rows) ages.push(nowMs - Date.parse(String(row[timeAt])))
    }
  })()
  reading.catch(began.reject)
  await began.promise
  return {
    place: 'store',
    ages,
    async [Symbol.asyncDispose]() {
      over.abort()
      await reading
    },
  }
}

function endedMs(document: string): number {
  return Date.parse((JSON.parse(document) as { time: string }).time)
}
