import { createHash, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { chmod, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { ForebayError, toForebayError } from '@forebay/protocol'
import type { HttpDoorOptions } from '../options.ts'
import { answer, answerProblem } from './http-answer.ts'
import { type LogsRouteParts, takeLogs } from './logs-route.ts'
import { answerOtlpError, OTLP_LOGS_PATH, type OtlpRouteParts, takeOtlp } from './otlp-route.ts'
import { type ProduceRouteParts, produce } from './produce-route.ts'

export interface HttpDoorParts {
  readonly options: HttpDoorOptions
  readonly logs: LogsRouteParts
  readonly serviceLogs: LogsRouteParts
  readonly otlp: OtlpRouteParts
  readonly produce: ProduceRouteParts
  readonly onTrouble: (cause: unknown) => void
}

/** The door for those who speak HTTP: Lua in nginx, other agents, services. On TCP, on a unix socket, or both. */
export class EdgeHttpDoor {
  readonly #servers: Server[] = []
  readonly #parts: HttpDoorParts
  #stopping = false

  constructor(parts: HttpDoorParts) {
    this.#parts = parts
  }

  /** The port on TCP; null without one. */
  async listen(): Promise<number | null> {
    const { listen, unix } = this.#parts.options
    if (unix !== null) {
      await rm(unix, { force: true })
      await this.#open({ path: unix })
      // Whoever is in its group may send: the socket is the key.
      await chmod(unix, 0o660)
    }
    if (listen === null) return null
    const address = (await this.#open(listen)).address()
    return typeof address === 'object' && address !== null ? address.port : null
  }

  /** Takes nothing new and answers what is under way. */
  async stop(signal: AbortSignal): Promise<void> {
    this.#stopping = true
    const cut = () => {
      for (const server of this.#servers) server.closeAllConnections()
    }
    signal.addEventListener('abort', cut, { once: true })
    await Promise.all(
      this.#servers.map(async (server) => {
        const closed = once(server, 'close')
        server.close()
        server.closeIdleConnections()
        if (signal.aborted) cut()
        await closed
      }),
    )
    signal.removeEventListener('abort', cut)
  }

  async #open(at: { readonly host: string; readonly port: number } | { readonly path: string }): Promise<Server> {
    const server = createServer({ requestTimeout: 30_000, headersTimeout: 10_000, keepAliveTimeout: 75_000 })
    this.#servers.push(server)
    server.maxConnections = CONNECTIONS_MAX
    server.on('request', (request, response) => void this.#handle(request, response))
    server.listen(at)
    await once(server, 'listening')
    server.on('error', this.#parts.onTrouble)
    return server
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      await this.#route(request, response)
    } catch (thrown) {
      const error = toForebayError(thrown)
      if (error.code === 'INTERNAL' && !request.destroyed) this.#parts.onTrouble(thrown)
      if (!request.complete) response.setHeader('connection', 'close')
      if (!response.headersSent) {
        const isOtlp = pathOf(request) === OTLP_LOGS_PATH
        if (isOtlp) answerOtlpError(request, response, error)
        else answerProblem(response, error)
      }
    }
    if (this.#stopping) response.once('finish', () => request.socket.end())
  }

  #route(request: IncomingMessage, response: ServerResponse): Promise<void> | void {
    const { logs, serviceLogs, otlp, produce: producing } = this.#parts
    const path = pathOf(request)
    if (path === '/livez') return answer(response, 200, { status: 'ok' })
    const topic = /^\/v1\/edge\/produce\/([A-Za-z0-9._-]{1,249})$/.exec(path)?.[1]
    if (topic === undefined && !PATHS.has(path)) {
      throw new ForebayError('ROUTE_NOT_FOUND', `There is nothing at ${JSON.stringify(path.slice(0, 200))}.`)
    }
    if (request.method !== 'POST') throw new ForebayError('METHOD_NOT_ALLOWED', 'Only POST is understood here.')
    if (this.#stopping)
      throw new ForebayError('STOPPING', 'This collector is stopping; nothing was kept.', { retryAfterS: 1 })
    this.#authorise(request)
    if (topic !== undefined) return produce(producing, topic, request, response)
    if (path === OTLP_LOGS_PATH) return takeOtlp(otlp, request, response)
    return takeLogs(path === SERVICE_LOGS_PATH ? serviceLogs : logs, request, response)
  }

  #authorise({ headers }: IncomingMessage): void {
    const { keys } = this.#parts.options
    if (keys.length === 0) return
    const [, key] = /^Bearer (.+)$/i.exec(headers.authorization ?? '') ?? []
    const hash = createHash('sha256')
      .update(key ?? '')
      .digest()
    if (key !== undefined && keys.some((known) => timingSafeEqual(hash, Buffer.from(known, 'hex')))) return
    throw new ForebayError('UNAUTHENTICATED', 'Send an access key: Authorization: Bearer KEY.')
  }
}

function pathOf({ url }: IncomingMessage): string {
  return (url ?? '').split('?')[0]!
}

/** Lines of services, as /v1/edge/logs takes those of nginx. */
const SERVICE_LOGS_PATH = '/v1/edge/service-logs'
const PATHS: ReadonlySet<string> = new Set(['/v1/edge/logs', SERVICE_LOGS_PATH, OTLP_LOGS_PATH])
const CONNECTIONS_MAX = 1_000
