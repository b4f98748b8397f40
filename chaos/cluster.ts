import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createFleet, PATIENT_RETRY } from '../e2e/fleet.ts'
import type { Forebay } from '../e2e/forebay.ts'
import { type Kafka, startKafka } from '../scripts/rig/kafka.ts'
import { type Postgres, startPostgres } from '../scripts/rig/postgres.ts'
import { type Rig, startProcess } from '../scripts/rig/process.ts'

/** A part that can be killed, stopped and woken. */
export interface Part {
  kill9(): Promise<void>
  start(): Promise<void>
  signal(signal: NodeJS.Signals): void
}

/** Everything a team would run, on loopback: three Kafka brokers, PostgreSQL, gateways, dispatchers, workers. */
export interface Cluster extends AsyncDisposable {
  readonly kafka: Kafka
  readonly postgres: Pick<Part, 'kill9' | 'start'> & Pick<Postgres, 'pause' | 'resume'>
  readonly gateways: readonly Part[]
  readonly dispatchers: readonly Part[]
  readonly workers: readonly Part[]
  readonly urls: readonly string[]
  /** Where journals and ledgers are. */
  readonly dir: string
  readonly ledger: string
  /** What the processes of Forebay printed last, for when a run fails. */
  output(): string
}

export const CHAOS_QUEUES = {
  ordered: { order: 'key', timeout: '20s', retry: PATIENT_RETRY, breaker: 'off' },
  plain: { timeout: '20s', retry: PATIENT_RETRY, breaker: 'off' },
  // Pauses beyond what a window holds, so that keys park.
  parking: {
    order: 'key',
    timeout: '20s',
    retry: { ...PATIENT_RETRY, backoff: '7s', backoffMax: '9s', jitter: 'none' },
    breaker: 'off',
  },
}

export async function startCluster(options: { readonly workers: number }): Promise<Cluster> {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-chaos-'))
  const ledger = join(dir, 'worker.jsonl')
  await using started = new AsyncDisposableStack()
  started.defer(() => rmSync(dir, { recursive: true, force: true }))
  const [kafka, postgres] = await Promise.all([startKafka({ brokers: 3 }), startPostgres()])
  started.use(kafka)
  started.use(postgres)
  const config = {
    broker: `kafka://${kafka.bootstrap}`,
    store: postgres.url,
    partitions: 6,
    grpc: { lease: '5s' },
    queues: CHAOS_QUEUES,
  }
  const fleet = createFleet(started, config)
  // The first makes the topics and tables.
  const gateways = [await fleet.add(['gateway'])]
  const [second, ...dispatchers] = await Promise.all([
    fleet.add(['gateway']),
    fleet.add(['dispatcher']),
    fleet.add(['dispatcher']),
  ])
  gateways.push(second)
  const server = dispatchers.map((one) => one.grpc).join(',')
  const workers = Array.from({ length: options.workers }, () => started.use(new Worker(server, ledger)))
  await Promise.all(workers.map((worker) => worker.start()))
  const keep = started.move()
  return {
    kafka,
    postgres: {
      kill9: () => postgres.kill(),
      start: () => postgres.restart(),
      pause: () => postgres.pause(),
      resume: () => postgres.resume(),
    },
    gateways: gateways.map(partOf),
    dispatchers: dispatchers.map(partOf),
    workers,
    urls: gateways.map((one) => one.url),
    dir,
    ledger,
    output: fleet.output,
    [Symbol.asyncDispose]: () => keep.disposeAsync(),
  }
}

/** Each takes as long as a process waits for what it needs. */
const STARTS_MAX = 10

function partOf(forebay: Forebay): Part {
  return {
    kill9: () => forebay.kill9(),
    // As a supervisor would: what it needs may be down as well.
    async start() {
      for (let tries = 1; ; tries++) {
        try {
          return await forebay.start()
        } catch (error) {
          if (tries === STARTS_MAX) throw error
        }
      }
    },
    signal: (signal) => forebay.rig.signal(signal),
  }
}

/** A real worker process on the SDK, dialled in to every dispatcher. */
class Worker implements Part, AsyncDisposable {
  readonly #args: readonly string[]
  #rig: Rig | null = null

  constructor(server: string, ledger: string) {
    const file = fileURLToPath(new URL('worker.ts', import.meta.url))
    this.#args = [file, server, Object.keys(CHAOS_QUEUES).join(','), ledger]
  }

  async start(): Promise<void> {
    this.#rig = startProcess({ name: 'worker', command: process.execPath, args: [...this.#args] })
    await this.#rig.line(/worker started/)
  }

  async kill9(): Promise<void> {
    this.#rig?.signal('SIGKILL')
    await this.#rig?.exited
  }

  signal(signal: NodeJS.Signals): void {
    this.#rig?.signal(signal)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rig?.stop()
  }
}
