import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Kafka, startKafka } from '../../scripts/rig/kafka.ts'
import { type GeneratedNginx, startGeneratedNginx } from '../../scripts/rig/nginx.ts'
import { freePort } from '../../scripts/rig/process.ts'
import { PATIENT_RETRY } from '../fleet.ts'
import { startForebay, startWorker } from '../forebay.ts'
import { openLedger } from '../ledger.ts'
import { type CollectorProcess, startCollectorProcess } from './collector-process.ts'
import { type LogStoreProcess, startLogStoreProcess } from './log-store.ts'

export const QUEUE = 'echo'

/** nginx in front of two gateways on one Kafka, and a collector that takes its access log by file and by syslog. */
export interface EdgeScene extends AsyncDisposable {
  readonly kafka: Kafka
  readonly nginx: GeneratedNginx
  readonly collector: CollectorProcess
  readonly store: LogStoreProcess
  /** For whatever the run writes. */
  readonly dir: string
  /** Renames nginx's access log and, after a while, has nginx open a new one. */
  rotate(): Promise<void>
  /** Every access log of nginx, the rotated ones too. */
  logs(): readonly { readonly bytes: number; readonly text: string }[]
}

export async function startEdgeScene(): Promise<EdgeScene> {
  await using started = new AsyncDisposableStack()
  const dir = mkdtempSync(join(tmpdir(), 'forebay-edge-'))
  started.defer(() => rmSync(dir, { recursive: true, force: true }))
  const kafka = started.use(await startKafka())
  const config = {
    broker: `kafka://${kafka.bootstrap}`,
    partitions: 3,
    queues: { [QUEUE]: { retry: PATIENT_RETRY, breaker: 'off', timeout: '20s' } },
  }
  const roles = ['gateway', 'dispatcher']
  // The first makes the topics.
  const first = started.use(await startForebay({ config, roles }))
  const ledger = started.use(openLedger())
  const [second, store] = await Promise.all([
    startForebay({ config, roles }),
    startLogStoreProcess({ ...config, instance: 'logs-1' }),
  ])
  const gateways = [first, started.use(second)]
  started.use(store)
  const server = gateways.map((one) => one.grpc).join(',')
  const worker = started.use(startWorker({ server, queue: QUEUE, ledger: ledger.path }))
  const udp = `127.0.0.1:${await freePort()}`
  const nginx = started.use(
    await startGeneratedNginx(
      gateways.map((one) => ({ http: one.url.replace('http://', ''), grpc: one.grpc })),
      { flags: ['--syslog', udp] },
    ),
  )
  const edge = { name: 'web-1', files: [{ path: nginx.accessLog }], syslog: { udp } }
  const collector = started.use(
    await startCollectorProcess({ broker: config.broker, partitions: config.partitions, instance: 'edge-1', edge }),
  )
  await worker.line(/worker started/)
  let rotations = 0
  const keep = started.move()
  return {
    kafka,
    nginx,
    collector,
    store,
    dir,
    async rotate() {
      renameSync(nginx.accessLog, `${nginx.accessLog}.${++rotations}`)
      await sleep(STILL_WRITTEN_MS)
      process.kill(nginx.pid, 'SIGUSR1')
      // Whoever rotates next needs a file to rename.
      for (const byMs = performance.now() + REOPENED_WITHIN_MS; !existsSync(nginx.accessLog); await sleep(10)) {
        if (performance.now() > byMs) throw new Error(`nginx has not opened ${nginx.accessLog} again`)
      }
    },
    logs: () => logsOf(nginx.accessLog),
    [Symbol.asyncDispose]: () => keep.disposeAsync(),
  }
}

/** nginx writes on to a file that was renamed. */
const STILL_WRITTEN_MS = 300
const REOPENED_WITHIN_MS = 30_000

function logsOf(path: string): { bytes: number; text: string }[] {
  const folder = dirname(path)
  const names = readdirSync(folder).filter((name) => name.startsWith(basename(path)))
  return names.map((name) => {
    const file = join(folder, name)
    return { bytes: statSync(file).size, text: readFileSync(file, 'utf8') }
  })
}
