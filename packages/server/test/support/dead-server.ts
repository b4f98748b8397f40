import { hash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { type Broker, systemClock, systemRandom } from '@forebay/broker'
import { embeddedBroker } from '@forebay/broker/embedded'
import { pino } from 'pino'
import type { GivenQueue } from '../../src/options-schema.ts'
import { requireOptions } from '../../src/resolve-options.ts'
import { createServer } from '../../src/server.ts'
import { embeddedStore } from '../../src/store/embedded/embedded.ts'
import { createMetrics } from '../../src/telemetry.ts'

/** Principals of a server that asks for keys, and their keys. */
export const OPERATOR_KEY = 'key-of-olga'
export const CALLER_KEY = 'key-of-carl'

export interface DeadServerRig extends AsyncDisposable {
  readonly url: string
  readonly broker: Broker
  /** What the worker answers from now on; by default it fails. */
  answer(body: string, attempt: { readonly task: string; readonly number: number }): { status: number; body: string }
  /** Bodies that the worker was given, in order. */
  readonly calls: string[]
  submit(queue: string, body: string, headers?: Record<string, string>): Promise<string>
  get(path: string, headers?: Record<string, string>): Promise<Response>
  post(path: string, body: object | string, headers?: Record<string, string>): Promise<Response>
  /** Asks until the task is in this state. */
  until(taskId: string, state: string): Promise<Record<string, unknown>>
}

/** A whole server on the embedded log, and an HTTP target that does as it is told. */
export async function openDeadServer(
  queues: Readonly<Record<string, GivenQueue>> = { orders: {} },
  options: {
    readonly keys?: boolean
    /** Default: an embedded one. The server closes it. */
    readonly broker?: Broker
  } = {},
): Promise<DeadServerRig> {
  const dir = await mkdtemp(join(tmpdir(), 'forebay-dead-server-'))
  const calls: string[] = []
  const worker = createHttpServer(async (request, response) => {
    const body = String(await buffer(request))
    calls.push(body)
    const task = String(request.headers['forebay-task'])
    const answer = rig.answer(body, { task, number: Number(request.headers['forebay-attempt']) })
    response.writeHead(answer.status, { 'content-type': 'text/plain' }).end(answer.body)
  })
  worker.listen(0, '127.0.0.1')
  await once(worker, 'listening')
  const target = `http://127.0.0.1:${(worker.address() as AddressInfo).port}/work`
  const broker = options.broker ?? embeddedBroker({ dir: join(dir, 'log') })
  const given = Object.fromEntries(
    Object.entries(queues).map(([name, queue]) => [
      name,
      { target, partitions: 2, retry: { attempts: 2, backoff: '1ms' }, ...queue },
    ]),
  )
  const auth = options.keys
    ? {
        keys: [
          { principal: 'olga', sha256: hash('sha256', OPERATOR_KEY), operator: true },
          { principal: 'carl', sha256: hash('sha256', CALLER_KEY) },
        ],
      }
    : {}
  const server = createServer({
    options: requireOptions(
      {
        data: dir,
        partitions: 2,
        http: { listen: '127.0.0.1:0' },
        grpc: { listen: '127.0.0.1:0' },
        auth,
        queues: given,
      },
      { hostname: 'test', folderOf: () => dir },
    ),
    broker,
    store: embeddedStore({ dir: join(dir, 'store'), retentionMs: 3_600_000 }),
    clock: systemClock,
    random: systemRandom,
    telemetry: { log: pino({ level: 'silent' }), metrics: createMetrics() },
  })
  const { http } = await server.start()
  const url = `http://127.0.0.1:${http.port}`
  const rig: DeadServerRig = {
    url,
    broker,
    calls,
    answer: () => ({ status: 503, body: 'down' }),
    async submit(queue, body, headers = {}) {
      const response = await fetch(`${url}/v1/queues/${queue}/tasks`, { method: 'POST', body, headers })
      return ((await response.json()) as { id: string }).id
    },
    get: (path, headers = {}) => fetch(url + path, { headers }),
    post: (path, body, headers = {}) =>
      fetch(url + path, { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body), headers }),
    async until(taskId, state) {
      for (;;) {
        const view = (await (await rig.get(`/v1/tasks/${taskId}`)).json()) as Record<string, unknown>
        if (view.state === state) return view
        await systemClock.sleep(10)
      }
    },
    async [Symbol.asyncDispose]() {
      await server.stop({ graceMs: 2_000 })
      worker.close()
      worker.closeAllConnections()
      await rm(dir, { recursive: true })
    },
  }
  return rig
}

/** The values of a stream of JSON lines. */
export async function jsonLines(response: Response): Promise<Record<string, unknown>[]> {
  return (await response.text())
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}
