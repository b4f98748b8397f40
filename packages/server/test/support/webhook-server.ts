import { hash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import type { TestContext } from 'node:test'
import { type Clock, systemClock, systemRandom } from '@forebay/broker'
import { embeddedBroker } from '@forebay/broker/embedded'
import { pino } from 'pino'
import type { GivenOptions } from '../../src/options-schema.ts'
import { requireOptions } from '../../src/resolve-options.ts'
import { createServer } from '../../src/server.ts'
import { embeddedStore } from '../../src/store/embedded/embedded.ts'
import { createMetrics, type Metrics } from '../../src/telemetry.ts'
import { newWebhookSecret } from '../../src/webhooks/signature.ts'
import { startReceiver } from './receiver.ts'

export const OPERATOR = { authorization: 'Bearer key-of-olga' }
export const CARL = { authorization: 'Bearer key-of-carl' }
export const DORA = { authorization: 'Bearer key-of-dora' }

export interface WebhookServer {
  readonly url: string
  readonly secret: string
  readonly metrics: Metrics
  /** Everything that was logged, at every level. */
  logged(): string
  submit(callback: string | null, more?: SubmitMore): Promise<Response>
  /** The same for a task that is taken; resolves with its id. */
  task(callback: string | null, more?: SubmitMore): Promise<string>
  ask(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>
  /** Asks for the callbacks of a task until the first is in this state. */
  until(task: string, state: string, headers?: Record<string, string>): Promise<CallbackJson>
  stop(graceMs?: number): Promise<void>
}

export interface SubmitMore {
  readonly queue?: string
  readonly body?: string | Buffer
  readonly headers?: Record<string, string>
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: whatever the server said, for assertions
  readonly body: any
}

export interface CallbackJson {
  readonly id: string
  readonly url: string
  readonly state: string
  readonly tries: number
  readonly nextAt: string | null
  readonly attempts: readonly {
    readonly status: number | null
    readonly detail: string | null
    readonly durationMs: number
  }[]
}

/** A whole server on the embedded parts, with three principals and a worker that echoes; 'slow' ends when the test says so. */
export async function startWebhookServer(
  t: TestContext,
  webhooks: NonNullable<GivenOptions['webhooks']>,
  more: { readonly given?: GivenOptions; readonly dir?: string; readonly clock?: Clock } = {},
): Promise<WebhookServer> {
  const dir = more.dir ?? mkdtempSync(join(tmpdir(), 'forebay-webhooks-'))
  const worker = await startReceiver(t)
  worker.answer = (response, call) => {
    const type = String(call.headers['content-type'])
    if (call.path === '/refuse') response.writeHead(400, { 'content-type': 'text/plain' }).end('no')
    else response.writeHead(200, { 'content-type': type }).end(call.body)
  }
  const { clock = systemClock } = more
  const secret = newWebhookSecret(systemRandom)
  const key = (principal: string, operator = false) => ({
    principal,
    sha256: hash('sha256', `key-of-${principal}`),
    operator,
  })
  const given: GivenOptions = {
    data: dir,
    partitions: 2,
    http: { listen: '127.0.0.1:0' },
    grpc: { listen: '127.0.0.1:0' },
    auth: { keys: [key('olga', true), key('carl'), key('dora')] },
    queues: {
      echo: { target: `http://127.0.0.1:${worker.port}/echo` },
      refuse: { target: `http://127.0.0.1:${worker.port}/refuse` },
      idle: {},
    },
    webhooks: { secrets: [secret], ...webhooks },
    ...more.given,
  }
  const options = requireOptions(given, { hostname: 'test', folderOf: () => dir })
  let lines = ''
  const sink = new Writable({
    write(chunk, _encoding, done) {
      lines += chunk
      done()
    },
  })
  const metrics = createMetrics()
  const server = createServer({
    options,
    broker: embeddedBroker({ dir: join(dir, 'log') }),
    store: embeddedStore({ dir: join(dir, 'store'), retentionMs: options.retentionMs, clock }),
    clock,
    random: systemRandom,
    telemetry: { log: pino({ level: 'trace' }, sink), metrics },
  })
  const { http } = await server.start()
  const url = `http://127.0.0.1:${http.port}`
  const stop = async (graceMs = 2_000) => {
    await server.stop({ graceMs })
  }
  t.after(async () => {
    await stop()
    if (more.dir === undefined) rmSync(dir, { recursive: true, force: true })
  })
  const rig: WebhookServer = {
    url,
    secret,
    metrics,
    logged: () => lines,
    submit(callback, { queue = 'echo', body = '{"a":1}', headers = {} } = {}) {
      const sent = { 'content-type': 'application/json', ...CARL, ...headers }
      const named = callback === null ? sent : { ...sent, 'forebay-callback': callback }
      return fetch(`${url}/v1/queues/${queue}/tasks`, { method: 'POST', body, headers: named })
    },
    async task(callback, more) {
      const response = await rig.submit(callback, more)
      const { id, detail } = (await response.json()) as { id: string; detail?: string }
      if (response.status !== 202) throw new Error(`${response.status}: ${detail}`)
      return id
    },
    async ask(method, path, body, headers = CARL) {
      const init = body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }
      const response = await fetch(url + path, { method, headers, ...init })
      return { status: response.status, headers: response.headers, body: await response.json() }
    },
    async until(task, state, headers = CARL) {
      for (;;) {
        const { body } = await rig.ask('GET', `/v1/tasks/${task}/callbacks`, undefined, headers)
        const [first] = body.callbacks as CallbackJson[]
        if (first?.state === state) return first
        await systemClock.sleep(10)
      }
    },
    stop,
  }
  return rig
}
