import { setTimeout as sleep } from 'node:timers/promises'
import { startForebay } from '../e2e/forebay.ts'
import { startKafka } from '../scripts/rig/kafka.ts'
import { type NginxRig, startAnsweringNginx, startGeneratedNginx } from '../scripts/rig/nginx.ts'
import { freePort } from '../scripts/rig/process.ts'
import { store } from './compare.ts'
import { runWrk } from './load/wrk.ts'
import { describeMachine } from './machine.ts'
import { median } from './percentiles.ts'

export interface EdgeCollectedOptions {
  readonly rounds: number
  readonly seconds: number
}

/**
 * What a whole road of the log costs a machine on which all of it runs: requests/s through nginx without a log, and with
 * each road to a collector that publishes to Kafka, on the cores that load, nginx, its upstream, collector and Kafka share. Where nginx has a
 * core to itself, `edge-nginx` tells more. True when every request was answered.
 */
export async function edgeCollected(options: EdgeCollectedOptions): Promise<boolean> {
  const machine = describeMachine()
  await using stack = new AsyncDisposableStack()
  const kafka = stack.use(await startKafka())
  const upstream = stack.use(await startAnsweringNginx())
  const gateway = { http: upstream.url.replace('http://', ''), grpc: '127.0.0.1:1' }
  const proxy = async (flags: readonly string[], lua = false) =>
    stack.use(await startGeneratedNginx([gateway], { flags, lua }))
  const [udp, http] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`]
  const off = ['--access-log', 'off']
  const byFile = await proxy([])
  const subjects: readonly Subject[] = [
    { name: NONE, nginx: await proxy(off) },
    { name: 'file', nginx: byFile },
    { name: 'syslog', nginx: await proxy([...off, '--syslog', udp]) },
    { name: 'Lua', nginx: await proxy([...off, '--collector', http], true) },
  ]
  const edge = { name: 'bench', files: [{ path: byFile.accessLog }], syslog: { udp }, http: { listen: http } }
  const config = { broker: `kafka://${kafka.bootstrap}`, partitions: 1, edge }
  const collector = stack.use(await startForebay({ config, roles: ['collector'] }))

  for (const subject of subjects) await measure(subject, WARM_UP_SECONDS)
  const samples: Sample[] = []
  for (let round = 1; round <= options.rounds; round++) {
    const first = round % subjects.length
    for (const subject of [...subjects.slice(first), ...subjects.slice(0, first)]) {
      await untilIdle(collector.url)
      const sample = { round, subject: subject.name, perSecond: await measure(subject, options.seconds) }
      samples.push(sample)
      console.log(`round ${round}  ${sample.subject.padEnd(7)} ${Math.round(sample.perSecond)}/s`)
    }
  }
  const ratios = subjects.map(({ name }) => ({ subject: name, ratio: ratioOf(name, samples) }))
  for (const { subject, ratio } of ratios)
    console.log(`${subject.padEnd(7)} ${ratio.toFixed(3)} of the requests/s without a log`)
  await store('edge-collected', { machine, options: { ...options, connections: CONNECTIONS }, ratios, samples })
  return true
}

interface Subject {
  readonly name: string
  readonly nginx: NginxRig
}

interface Sample {
  readonly round: number
  readonly subject: string
  readonly perSecond: number
}

const NONE = 'no log'
const CONNECTIONS = 64
/** A Kafka just started pays for its Java machine getting warm. */
const WARM_UP_SECONDS = 4

async function measure({ nginx }: Subject, seconds: number): Promise<number> {
  const url = `${nginx.url}/v1/queues/bench/tasks`
  const load = await runWrk({ url, connections: CONNECTIONS, seconds, status: 200, prefer: null })
  const bad = load.wrong + load.socketErrors
  if (bad > 0) throw new Error(`${bad} answers were wrong or missing (status ${load.wrongStatus})`)
  return load.requests / load.seconds
}

/** What the collector has not shipped yet must not weigh on the next subject. */
async function untilIdle(url: string): Promise<void> {
  await sleep(NGINX_FLUSH_MS)
  for (;;) {
    const metrics = await (await fetch(`${url}/metrics`)).text()
    const behind = [...metrics.matchAll(/^forebay_edge_behind_bytes\{.*\} (\d+)/gm)].map(([, bytes]) => Number(bytes))
    if (behind.length > 0 && behind.every((bytes) => bytes === 0)) return
    await sleep(100)
  }
}

/** nginx keeps lines of a file for a second, and of Lua for less. */
const NGINX_FLUSH_MS = 1_200

function ratioOf(subject: string, samples: readonly Sample[]): number {
  const base = new Map(samples.filter((one) => one.subject === NONE).map((one) => [one.round, one.perSecond]))
  const own = samples.filter((one) => one.subject === subject)
  return median(own.map(({ round, perSecond }) => perSecond / base.get(round)!))
}
