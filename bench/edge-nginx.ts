import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { loadavg } from 'node:os'
import { startForebay } from '../e2e/forebay.ts'
import { requireCommand } from '../scripts/rig/debian.ts'
import { type GeneratedNginx, type GeneratedNginxOptions, startGeneratedNginx } from '../scripts/rig/nginx.ts'
import { freePort, startProcess } from '../scripts/rig/process.ts'
import { store } from './compare.ts'
import { runWrk } from './load/wrk.ts'
import { describeMachine } from './machine.ts'
import { cpuMs } from './process-figures.ts'

export interface EdgeNginxOptions {
  readonly rounds: number
  readonly seconds: number
  /**
   * all: each road. file: that alone, for more rounds in the same time. gateways: that alone, and behind nginx stand two real gateways
   * that keep tasks, not an answer that costs nothing.
   */
  readonly only: 'all' | 'file' | 'gateways'
}

/**
 * What each way of logging costs nginx, beside the same nginx without a log. wrk asks through the configuration that
 * `forebay nginx` prints for a gateway; another nginx plays that, and takes what Lua sends, unless real gateways are asked for.
 * True when the file costs less than `FILE_COST_MOST` of the throughput.
 */
export async function edgeNginx({ rounds, seconds, only }: EdgeNginxOptions): Promise<boolean> {
  for (const [command, debianPackage] of PACKAGES) await requireCommand(command, debianPackage)
  const machine = describeMachine()
  const sink = createSocket('udp4').bind(0, '127.0.0.1')
  await once(sink, 'listening')
  const backPort = await freePort()
  await using stack = new AsyncDisposableStack()
  stack.use(await startBack(backPort))
  const address = `127.0.0.1:${backPort}`
  const scene = only === 'gateways' ? await realGateways(stack) : answerOf(address)
  const syslog = { flags: ['--access-log', 'off', '--syslog', `127.0.0.1:${sink.address().port}`] }
  const lua = { lua: true, flags: ['--access-log', 'off', '--collector', address] }
  const roads: Readonly<Record<string, GeneratedNginxOptions>> = {
    off: { flags: ['--access-log', 'off'] },
    // Nothing differs: what these two differ by is this machine's own unrest.
    'off, too': { flags: ['--access-log', 'off'] },
    file: {},
    ...(only === 'all' ? { syslog, lua } : {}),
  }
  const sides: Side[] = []
  try {
    for (const [name, options] of Object.entries(roads)) {
      const nginx = await startGeneratedNginx(scene.gateways, options)
      sides.push({ name, nginx, worker: workerOf(nginx.pid) })
      await load(scene, sides.at(-1)!, 1)
    }
    const samples: Sample[] = []
    for (let round = 0; round < rounds; round++) {
      const turns = [...sides.slice(round % sides.length), ...sides.slice(0, round % sides.length)]
      for (const side of turns) samples.push({ round, ...(await load(scene, side, seconds)) })
    }
    const figures = Object.keys(roads).map((road) => figuresOf(road, samples))
    for (const { road, perSecond, cpuMicros, throughput, cpu } of figures) {
      console.log(
        `${road.padEnd(9)} ${perSecond.toFixed(0).padStart(6)}/s, ${told(throughput)} of that without a log; ${cpuMicros.toFixed(1)} µs of CPU a request, ${told(cpu)}`,
      )
    }
    const goalHolds = figures.find(({ road }) => road === 'file')!.throughput.mean > 1 - FILE_COST_MOST
    await store('edge-nginx', { machine, seconds, only, loadBefore: loadavg()[0], figures, samples })
    return goalHolds
  } finally {
    for (const { nginx } of sides) await nginx.stop()
    sink.close()
  }
}

const PACKAGES = [
  ['wrk', 'wrk'],
  ['nginx', 'nginx-light'],
  ['/usr/lib/nginx/modules/ngx_http_lua_module.so', 'libnginx-mod-http-lua'],
] as const
const FILE_COST_MOST = 0.05
const WITHOUT: ReadonlySet<string> = new Set(['off', 'off, too'])
const CONNECTIONS = 32

interface Side {
  readonly name: string
  readonly nginx: GeneratedNginx
  readonly worker: number
}

interface Sample {
  readonly round: number
  readonly road: string
  readonly perSecond: number
  readonly cpuMicros: number
}

interface Figures {
  readonly road: string
  /** Means of all rounds. */
  readonly perSecond: number
  readonly cpuMicros: number
  /** To what nginx without a log did in the same rounds. */
  readonly throughput: Ratio
  readonly cpu: Ratio
}

/** Mean of the rounds' ratios, and the standard error of that mean. */
interface Ratio {
  readonly mean: number
  readonly error: number
}

function figuresOf(road: string, samples: readonly Sample[]): Figures {
  const own = samples.filter((one) => one.road === road)
  const ratio = (what: 'perSecond' | 'cpuMicros'): Ratio => {
    const ratios = own.map((one) => {
      const without = samples.filter((base) => base.round === one.round && WITHOUT.has(base.road))
      return one[what] / mean(without.map((base) => base[what]))
    })
    const middle = mean(ratios)
    const variance = ratios.reduce((sum, one) => sum + (one - middle) ** 2, 0) / Math.max(1, ratios.length - 1)
    return { mean: middle, error: Math.sqrt(variance / ratios.length) }
  }
  return {
    road,
    perSecond: mean(own.map(({ perSecond }) => perSecond)),
    cpuMicros: mean(own.map(({ cpuMicros }) => cpuMicros)),
    throughput: ratio('perSecond'),
    cpu: ratio('cpuMicros'),
  }
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, one) => sum + one, 0) / values.length
}

const told = ({ mean, error }: Ratio) => `${mean.toFixed(3)} ± ${error.toFixed(3)}`

async function load(scene: Scene, { name, nginx, worker }: Side, seconds: number): Promise<Omit<Sample, 'round'>> {
  const before = cpuMs(worker)
  const { requests, perSecond } = await scene.ask(nginx.url, seconds)
  return { road: name, perSecond, cpuMicros: ((cpuMs(worker) - before) * 1_000) / requests }
}

interface Scene {
  readonly gateways: readonly { readonly http: string; readonly grpc: string }[]
  ask(url: string, seconds: number): Promise<{ readonly requests: number; readonly perSecond: number }>
}

/** As much as nginx can do. */
function answerOf(http: string): Scene {
  return {
    gateways: [{ http, grpc: '127.0.0.1:9' }],
    async ask(url, seconds) {
      const args = ['-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, `${url}/v1/tasks/0123456789?wait=1`]
      const wrk = startProcess({ name: 'wrk', command: 'wrk', args })
      const [, count, took] = await wrk.line(/(\d+) requests in ([\d.]+)s/, (seconds + 30) * 1_000)
      await wrk.exited
      if (/Non-2xx|Socket errors/.test(wrk.output())) throw new Error(wrk.output())
      return { requests: Number(count), perSecond: Number(count) / Number(took) }
    },
  }
}

/** POSTs that are kept, on the embedded logs of two gateways; nobody works on them. */
async function realGateways(stack: AsyncDisposableStack): Promise<Scene> {
  const config = { queues: { bench: {} } }
  const running = [stack.use(await startForebay({ config })), stack.use(await startForebay({ config }))]
  return {
    gateways: running.map(({ url, grpc }) => ({ http: url.replace('http://', ''), grpc })),
    async ask(url, seconds) {
      const options = { connections: CONNECTIONS, seconds, status: 202, prefer: null }
      const answers = await runWrk({ url: `${url}/v1/queues/bench/tasks`, ...options })
      if (answers.wrong + answers.socketErrors > 0) throw new Error(JSON.stringify(answers))
      return { requests: answers.requests, perSecond: answers.requests / answers.seconds }
    },
  }
}

/** Answers as a gateway would, and takes rows as a collector would, at the least cost. */
async function startBack(port: number) {
  const inside = `server {
    listen 127.0.0.1:${port};
    keepalive_requests 1000000000;
    client_max_body_size 9m;
    location / { return 200 '{"id":"0123456789","state":"succeeded"}'; }
    location = /v1/edge/logs { return 202 '{}'; }
  }`
  return startGeneratedNginx([{ http: '127.0.0.1:9', grpc: '127.0.0.1:9' }], { more: inside })
}

function workerOf(master: number): number {
  return Number(execFileSync('pgrep', ['-P', String(master)], { encoding: 'utf8' }).trim())
}
