import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startKafka } from '../../scripts/rig/kafka.ts'
import { startGeneratedNginx } from '../../scripts/rig/nginx.ts'
import { startPostgres } from '../../scripts/rig/postgres.ts'
import { startProcess } from '../../scripts/rig/process.ts'
import { createFleet, PATIENT_RETRY } from '../fleet.ts'
import type { Forebay } from '../forebay.ts'
import { openPlace, type Place } from './place.ts'
import { type Receiver, startReceiver } from './receiver.ts'

/** What a team would run: nginx with the configuration that `forebay nginx` prints, and everything behind it. */
export interface DoorsCluster extends AsyncDisposable {
  /** Of nginx. */
  readonly http: string
  readonly grpc: string
  readonly gateways: readonly Pick<Forebay, 'kill9' | 'start'>[]
  /** Each gateway without nginx before it. */
  readonly direct: readonly Place[]
  readonly receiver: Receiver
  readonly bootstrap: string
  readonly dir: string
  readonly ledger: string
  output(): string
}

export const DOORS_QUEUES = {
  plain: { timeout: '20s', retry: PATIENT_RETRY, breaker: 'off' },
  ordered: {
    order: 'key',
    route: 'POST /errands/ordered/{customer}',
    key: 'path.customer',
    timeout: '20s',
    retry: PATIENT_RETRY,
    breaker: 'off',
  },
  talking: { timeout: '20s', retry: PATIENT_RETRY, breaker: 'off' },
}

const SECRET = `whsec_${Buffer.from('a secret of the doors run, 32 by').toString('base64')}`
const GATEWAYS = 3
const WORKERS = 2

export async function startDoorsCluster(): Promise<DoorsCluster> {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-doors-'))
  const ledger = join(dir, 'worker.jsonl')
  await using started = new AsyncDisposableStack()
  started.defer(() => rmSync(dir, { recursive: true, force: true }))
  const [kafka, postgres, receiver] = await Promise.all([startKafka(), startPostgres(), startReceiver(SECRET)])
  for (const one of [kafka, postgres, receiver]) started.use(one)
  const config = {
    broker: `kafka://${kafka.bootstrap}`,
    store: postgres.url,
    partitions: 6,
    grpc: { lease: '5s' },
    queues: DOORS_QUEUES,
    webhooks: { secrets: [SECRET], allow: ['127.0.0.1'], ports: [Number(new URL(receiver.url).port)] },
  }
  const fleet = createFleet(started, config)
  // The first makes the topics and tables.
  const first = await fleet.add(['gateway'])
  const others = await Promise.all(Array.from({ length: GATEWAYS - 1 }, () => fleet.add(['gateway'])))
  const gateways = [first, ...others]
  const dispatchers = await Promise.all([fleet.add(['dispatcher']), fleet.add(['dispatcher'])])
  const server = dispatchers.map((one) => one.grpc).join(',')
  const worker = fileURLToPath(new URL('worker.ts', import.meta.url))
  for (let count = 0; count < WORKERS; count++) {
    const args = [worker, server, Object.keys(DOORS_QUEUES).join(','), ledger]
    const rig = started.use(startProcess({ name: 'worker', command: process.execPath, args }))
    await rig.line(/worker started/)
  }
  const nginx = started.use(
    await startGeneratedNginx(gateways.map((one) => ({ http: one.url.replace('http://', ''), grpc: one.grpc }))),
  )
  const direct = gateways.map((one) => started.use(openPlace({ http: one.url, grpc: one.grpc })))
  const keep = started.move()
  return {
    http: nginx.url,
    grpc: nginx.grpc,
    gateways,
    direct,
    receiver,
    bootstrap: kafka.bootstrap,
    dir,
    ledger,
    output: fleet.output,
    [Symbol.asyncDispose]: () => keep.disposeAsync(),
  }
}
