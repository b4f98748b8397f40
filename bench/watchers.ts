import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Pool } from 'undici'
import { type Forebay, startForebay } from '../e2e/forebay.ts'
import { startProcess } from '../scripts/rig/process.ts'
import { store } from './compare.ts'
import { EventStreams } from './event-streams.ts'
import { describeMachine } from './machine.ts'
import { type Percentiles, percentilesOf } from './percentiles.ts'
import { cpuMs, residentBytes } from './process-figures.ts'

export interface WatchersOptions {
  readonly streams: number
}

/**
 * Follows so many tasks at one gateway by server-sent events, each its own: what they cost in memory, and how soon each hears
 * of its end when all end at about the same time. Then as many follow one task that talks. True when a watcher costs at most
 * `BYTES_PER_WATCHER_MOST`.
 */
export async function watchers({ streams }: WatchersOptions): Promise<boolean> {
  const machine = describeMachine()
  const config = { http: { watchersMax: streams + 10 }, queues: { [QUEUE]: { concurrency: 10_000, timeout: '5m' } } }
  await using forebay = await startForebay({ config })
  const ids = await submit(forebay.url, streams, '0 0')
  await sleep(SETTLE_MS)
  const before = residentBytes(forebay.rig.pid)
  const results = new Arrivals('result')
  const each = new EventStreams((name, data) => results.take(name, data))
  await eachOf(ids, (taskId) => each.open(forebay.url, taskId))
  await sleep(SETTLE_MS)
  const bytesEach = (residentBytes(forebay.rig.pid) - before) / streams
  console.log(`${streams} watchers: ${(bytesEach / 1024).toFixed(1)} KiB each (goal ${BYTES_PER_WATCHER_MOST / 1024})`)

  await using worker = startProcess({
    name: 'worker',
    command: process.execPath,
    args: [WORKER, forebay.grpc, QUEUE],
  })
  await worker.line(/ready/)
  const ends = await results.figures(streams)
  console.log(`each hears of its own end: ${told(ends)}`)
  each.close()

  const chunks = new Arrivals('chunk')
  const same = new EventStreams((name, data) => chunks.take(name, data))
  const [talking] = (await submit(forebay.url, 1, `${TALKS_AFTER_MS} ${CHUNKS}`)) as [string]
  await eachOf(
    Array.from({ length: streams }, () => talking),
    (taskId) => same.open(forebay.url, taskId),
  )
  const cpuBefore = cpuMs(forebay.rig.pid)
  const fanOut = await chunks.figures(streams * CHUNKS)
  const cpuMicrosEach = ((cpuMs(forebay.rig.pid) - cpuBefore) * 1_000) / (streams * CHUNKS)
  console.log(`all hear ${CHUNKS} chunks of one task: ${told(fanOut)}; ${cpuMicrosEach.toFixed(1)} µs of CPU each`)
  same.close()

  const herd = await comeBack(forebay, streams)
  console.log(
    `killed with ${streams} watchers: ready again after ${herd.readyS.toFixed(1)} s, the last is back ${herd.backS.toFixed(1)} s later`,
  )
  await store('watchers', { machine, streams, bytesEach, ends, fanOut, cpuMicrosEach, herd })
  return bytesEach <= BYTES_PER_WATCHER_MOST
}

/** All follow tasks of their own; the gateway dies, and all come at once when it is there again. */
async function comeBack(
  forebay: Forebay,
  streams: number,
): Promise<{ readonly readyS: number; readonly backS: number }> {
  const ids = await submit(forebay.url, streams, `${OUTLIVES_MS} 0`)
  const before = new EventStreams(() => {})
  await eachOf(ids, (taskId) => before.open(forebay.url, taskId))
  const killedAt = performance.now()
  await forebay.kill9()
  before.close()
  await forebay.start()
  const readyAt = performance.now()
  const after = new EventStreams(() => {})
  await eachOf(ids, (taskId) => after.open(forebay.url, taskId), HERD)
  after.close()
  return { readyS: (readyAt - killedAt) / 1_000, backS: (performance.now() - readyAt) / 1_000 }
}

/** Nobody ends while the herd comes back. */
const OUTLIVES_MS = 240_000
/** Connections that are opened at once. */
const HERD = 2_000

const BYTES_PER_WATCHER_MOST = 25 * 1024
const QUEUE = 'watched'
const CHUNKS = 20
/** Long enough that all streams are open. */
const TALKS_AFTER_MS = 30_000
const SETTLE_MS = 4_000
const LANES = 64
const WORKER = fileURLToPath(new URL('subjects/talking-worker.ts', import.meta.url))

interface Figures extends Percentiles {
  readonly count: number
  readonly perSecond: number
}

/** How long each event of one name was on its way from the worker's stamp to here. */
class Arrivals {
  readonly #name: string
  readonly #lateMs: number[] = []
  #firstMs = 0
  #lastMs = 0
  #wanted = Number.POSITIVE_INFINITY
  readonly #all = Promise.withResolvers<void>()

  constructor(name: string) {
    this.#name = name
  }

  take(name: string, data: string): void {
    if (name !== this.#name) return
    const said = JSON.parse(data) as { text?: string; result?: { text?: string } }
    const nowNs = process.hrtime.bigint()
    this.#lateMs.push(Number(nowNs - BigInt((said.text ?? said.result?.text)!)) / 1e6)
    this.#lastMs = Number(nowNs) / 1e6
    this.#firstMs ||= this.#lastMs
    if (this.#lateMs.length >= this.#wanted) this.#all.resolve()
  }

  async figures(wanted: number): Promise<Figures> {
    this.#wanted = wanted
    if (this.#lateMs.length >= wanted) this.#all.resolve()
    const within = sleep(ALL_WITHIN_MS).then(() => {
      throw new Error(`only ${this.#lateMs.length} of ${wanted} events came`)
    })
    await Promise.race([this.#all.promise, within])
    const count = this.#lateMs.length
    const perSecond = (count / Math.max(1, this.#lastMs - this.#firstMs)) * 1_000
    return { count, perSecond, ...percentilesOf(this.#lateMs) }
  }
}
const ALL_WITHIN_MS = 180_000

function told({ perSecond, p50Ms, p99Ms, maxMs }: Figures): string {
  return `${Math.round(perSecond)}/s, p50 ${p50Ms.toFixed(0)} ms, p99 ${p99Ms.toFixed(0)} ms, at most ${maxMs.toFixed(0)} ms`
}

async function submit(url: Forebay['url'], tasks: number, body: string): Promise<readonly string[]> {
  const pool = new Pool(url, { connections: LANES })
  const ids: string[] = []
  await eachOf(Array.from({ length: tasks }), async () => {
    const path = `/v1/queues/${QUEUE}/tasks`
    const answer = await pool.request({ method: 'POST', path, headers: { 'content-type': 'text/plain' }, body })
    if (answer.statusCode !== 202) throw new Error(`the gateway answered ${answer.statusCode}`)
    ids.push(((await answer.body.json()) as { id: string }).id)
  })
  await pool.close()
  return ids
}

async function eachOf<T>(items: readonly T[], act: (item: T) => Promise<void>, lanes = LANES): Promise<void> {
  let next = 0
  const lane = async () => {
    while (next < items.length) await act(items[next++]!)
  }
  await Promise.all(Array.from({ length: lanes }, lane))
}
