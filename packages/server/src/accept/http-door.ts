import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Clock, Random } from '@forebay/broker'
import { ForebayError, toForebayError } from '@forebay/protocol'
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import { createDocumentation } from '../openapi/documentation.ts'
import type { Route } from '../openapi/operation.ts'
import type { EventTypeOptions, HttpOptions } from '../options.ts'
import { OCTET_STREAM } from '../records.ts'
import type { TaskView } from '../reply/replies.ts'
import type { Telemetry } from '../telemetry.ts'
import type { AcceptingQueue, AcceptingQueues } from './accepting-queue.ts'
import { adminHandler } from './admin-door.ts'
import type { AdminRoute } from './admin-routes.ts'
import { type Admission, TASK_OVERHEAD_BYTES } from './admission.ts'
import type { CallbackRegistration } from './callback-registration.ts'
import { callbackRoutes } from './callback-routes.ts'
import type { CancelTask } from './cancel-task.ts'
import type { ClientGone } from './client-gone.ts'
import { withFlowHeader } from './flow-header.ts'
import { type Health, sendLiveness, sendMetrics, sendReadiness } from './health-answers.ts'
import { httpDate, sendAccepted, sendEnded, sendTask } from './http-answers.ts'
import { type Call, callerOf, documentPath, type Handle, routerPath } from './http-call.ts'
import { clientErrorAnswer, createHttpServer, FIELDS, methodNotAllowed, type ReadRequest } from './http-server.ts'
import { readPriority, readTiming } from './http-timing.ts'
import { idempotencyKeyFor } from './idempotency.ts'
import type { LargeAnswers } from './large-answers.ts'
import { bySignal, OpenWaits } from './open-waits.ts'
import { keyFromHeader } from './ordering-key.ts'
import { appliedWait, type Preferences, readPreferences } from './preferences.ts'
import type { Authenticate, IsOperator } from './principal.ts'
import { sendProblem } from './problem.ts'
import { readBody } from './read-body.ts'
import type { ReadTask, TaskRead } from './read-task.ts'
import { hasBody } from './request-fields.ts'
import { createSseDoor } from './sse-door.ts'
import type { Kept, Submit } from './submit.ts'
import { traceHeaders } from './trace-context.ts'
import type { OpenWatch } from './watching.ts'
import { createWebSocketDoor } from './websocket-door.ts'
import { STREAM_PATH, UPGRADE_HEADERS, upgradeRequired } from './websocket-handshake.ts'

export interface HttpDoor {
  /** What it answers at, HEAD left out; '/v1/tasks/{id}'. */
  readonly routes: readonly Route[]
  listen(): Promise<{ readonly host: string; readonly port: number }>
  /**
   * Takes nothing new, answers those who wait with 202, lets go of connections as they fall idle and of the rest after
   * `graceMs`. Resolves with the number of connections that were cut. A second call with a smaller grace shortens the first.
   */
  stop(graceMs: number): Promise<number>
}

export interface HttpDoorParts {
  readonly http: HttpOptions
  readonly queues: AcceptingQueues
  readonly authenticate: Authenticate
  readonly isOperator: IsOperator
  readonly admission: Admission
  readonly submit: Submit
  readonly readTask: ReadTask
  readonly cancelTask: CancelTask
  readonly callbacks: CallbackRegistration
  readonly clientGone: ClientGone
  readonly openWatch: OpenWatch
  readonly largeAnswers: LargeAnswers
  readonly adminRoutes: readonly AdminRoute[]
  /** Of POST /v1/events. */
  readonly publishEvents: Handle
  /** That callers may publish. */
  readonly events: readonly EventTypeOptions[]
  readonly health: () => Health
  /** Longest `Forebay-Deadline`, from the end of the delay. ms */
  readonly retentionMs: number
  /** Whether there is a place where delayed tasks can wait. */
  readonly delays: boolean
  /** Whether every request wants an access key. */
  readonly keys: boolean
  /** Whether anybody is ever called. */
  readonly offersCallbacks: boolean
  readonly clock: Clock
  readonly random: Random
  readonly telemetry: Telemetry
}

export function createHttpDoor(parts: HttpDoorParts): HttpDoor {
  const { http, queues, authenticate, admission, submit, readTask, cancelTask, clock, telemetry } = parts
  const waits = new OpenWaits()
  const sse = createSseDoor(parts)
  const webSockets = createWebSocketDoor(parts)
  const refused = (code: string) => telemetry.metrics.refused.inc({ code })
  const app = fastify({
    serverFactory: (listener) =>
      createHttpServer(
        (request, response) => {
          if (!takeShortRoad(request, response)) listener(request, response)
        },
        { stopping: () => admission.stopping, refused, upgrade: (...asked) => webSockets.upgrade(...asked) },
      ),
    clientErrorHandler: clientErrorAnswer(refused),
    routerOptions: { maxParamLength: PARAMETER_CHARACTERS_MAX },
    frameworkErrors: (_error, request, reply) => answer(request, reply, routeNotFound),
    return503OnClosing: false,
  })
  const { server } = app
  let stopped: Promise<number> | null = null
  let cut = () => {}
  const routes: Route[] = []

  // The body stays in the socket until its reader knows how much of it is welcome.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, done) => done(null))
  app.setNotFoundHandler((request, reply) => answer(request, reply, routeNotFound))
  // Every route, whoever adds it; those that only refuse methods are added as lists of them.
  app.addHook('onRoute', ({ method, url }) => {
    if (typeof method === 'string' && method !== 'HEAD') routes.push({ method, path: documentPath(url) })
  })
  addRoutes()

  return {
    routes,
    async listen() {
      await app.listen({ host: http.host, port: http.port })
      return { host: http.host, port: (server.address() as AddressInfo).port }
    },
    stop(graceMs) {
      stopped ??= close()
      const timer = clock.timer(graceMs, cut)
      return stopped.finally(() => timer.cancel())
    },
  }

  function addRoutes(): void {
    const methods = new Map<string, Set<string>>()
    const add = (method: AdminRoute['method'], url: string, handle: Handle) => {
      app.route({ method, url, exposeHeadRoute: true, handler: (request, reply) => answer(request, reply, handle) })
      const known = methods.get(url) ?? new Set()
      for (const one of method === 'GET' ? ['GET', 'HEAD'] : [method]) known.add(one)
      methods.set(url, known)
    }
    add('POST', '/v1/queues/:queue/tasks', handInToQueue)
    for (const queue of queues.all) {
      const { route } = queue.options
      if (route === null) continue
      add(route.method, routerPath(route.path), (call) =>
        handIn(queue, authenticate(call.fields.authorization), call.parameters, call),
      )
    }
    add('GET', '/v1/tasks/:id', getTask)
    add('DELETE', '/v1/tasks/:id', deleteTask)
    add('GET', '/v1/tasks/:id/result', getResult)
    const callbacks = callbackRoutes(parts)
    add('POST', '/v1/tasks/:id/callbacks', callbacks.add)
    add('GET', '/v1/tasks/:id/callbacks', callbacks.list)
    add('POST', '/v1/events', parts.publishEvents)
    add('GET', '/v1/tasks/:id/events', (call) => sse.handle(call))
    app.get(STREAM_PATH, (_request, reply) => {
      reply.hijack()
      refused('UPGRADE_REQUIRED')
      sendProblem(reply.raw, upgradeRequired(), UPGRADE_HEADERS)
    })
    add('GET', '/livez', ({ response }) => sendLiveness(response))
    add('GET', '/readyz', ({ response }) => sendReadiness(response, parts.health(), admission.stopping))
    add('GET', '/metrics', ({ response }) => sendMetrics(response, telemetry.metrics.registry))
    const documentation = createDocumentation(() => ({
      ...parts,
      routes,
      queues: queues.all.map(({ options }) => options),
      waitMaxMs: http.waitMaxMs,
      callbacks: parts.offersCallbacks,
    }))
    add('GET', '/openapi.json', forReaders(documentation.document))
    add('GET', '/docs', forReaders(documentation.page))
    const admin = { ...parts, bodyBytesMax: http.bodyBytesMax, waits }
    for (const route of parts.adminRoutes) add(route.method, routerPath(route.path), adminHandler(route, admin))
    for (const [url, known] of methods) refuseOtherMethods(app, url, known)
  }

  /** Names and schemas of queues are for those who may use them, unless the configuration says otherwise. */
  function forReaders(handle: Handle): Handle {
    return (call) => {
      if (!http.docsOpen) authenticate(call.fields.authorization)
      return handle(call)
    }
  }

  /** The route that nearly all requests take goes past the router: its objects cost a tenth of the request. */
  function takeShortRoad(request: IncomingMessage, response: ServerResponse): boolean {
    const queue = request.method === 'POST' ? TASKS_PATH.exec(request.url!)?.[1] : undefined
    if (queue === undefined) return false
    serve({ request, response, fields: (request as ReadRequest)[FIELDS]!, parameters: { queue } }, handInToQueue)
    return true
  }

  function handInToQueue(call: Call): Promise<void> {
    const owner = authenticate(call.fields.authorization)
    return handIn(queues.find(call.parameters.queue!), owner, NO_PARAMETERS, call)
  }

  function answer(request: FastifyRequest, reply: FastifyReply, handle: Handle): void {
    reply.hijack()
    const { raw } = request
    const fields = (raw as ReadRequest)[FIELDS]!
    serve({ request: raw, response: reply.raw, fields, parameters: request.params as Call['parameters'] }, handle)
  }

  /** Every route goes through here: nothing that is thrown stays unanswered. */
  function serve(call: Call, handle: Handle): void {
    try {
      const pending = handle(call)
      if (pending !== undefined) pending.catch((thrown: unknown) => refuse(call, thrown))
    } catch (thrown) {
      refuse(call, thrown)
    }
  }

  function refuse({ request, response, fields }: Call, thrown: unknown): void {
    const error = toForebayError(thrown)
    refused(error.code)
    if (error.code === 'INTERNAL') telemetry.log.error({ err: error.cause }, 'answering a request failed')
    if (response.destroyed || response.headersSent) {
      response.destroy()
      return
    }
    // Refused before the body was read: who waits for "100 Continue" may send it or not, so the connection has no clear
    // next request; what others send is let pass, so that they come to read the answer.
    const unread = !request.complete && hasBody(fields)
    if (unread && fields.expect === undefined) discard(request)
    sendProblem(response, error, unread && fields.expect !== undefined ? CLOSE : NO_HEADERS)
  }

  async function handIn(
    queue: AcceptingQueue,
    owner: string,
    parameters: Call['parameters'],
    call: Call,
  ): Promise<void> {
    const { request, response, fields } = call
    const preferences = readPreferences(fields.prefer, http.waitMaxMs)
    const idempotencyKey = idempotencyKeyFor(queue.options, fields.idempotencyKey)
    const timing = readTiming(fields, parts)
    const priority = readPriority(fields.priority)
    const given = fields.key === undefined ? null : keyFromHeader(fields.key)
    let held = TASK_OVERHEAD_BYTES
    admission.enter(held)
    const kept = await keep().finally(() => admission.leave(held))
    const extra = aboutKey(kept)
    if (kept.wait === null) {
      if (response.destroyed && preferences.waitMs) parts.clientGone(queue, kept, owner)
      return accepted(kept.replayed && preferences.waitMs !== null ? 0 : null)
    }
    const view = await waits.during(callerOf(response), kept.wait)
    if (response.destroyed) {
      if (view === null) parts.clientGone(queue, kept, owner)
      return
    }
    sayGoodbye(response)
    // That the task is kept is true, whatever comes of fetching its answer.
    const whole = view?.blob === undefined ? view : await fetchWhole(response, view).catch(() => null)
    if (response.destroyed) return
    if (whole === null) return accepted(preferences.waitMs)
    sendEnded(response, whole, withApplied(extra, preferences, preferences.waitMs))

    async function keep() {
      const payload = await readBody(request, response, fields, queue.options.bodyBytesMax, admission)
      held += payload.length
      const header = (name: string) => request.headers[name] as string | undefined
      return submit({
        queue,
        method: request.method!,
        owner,
        key: queue.check(payload, { given, parameters, header }),
        payload,
        contentType: fields.contentType ?? OCTET_STREAM,
        headers: withFlowHeader(traceHeaders(fields.traceparent, fields.tracestate), queue.options.fairness, header),
        timing,
        priority,
        idempotencyKey,
        waitMs: preferences.waitMs ?? 0,
        callback: fields.callback ?? null,
      })
    }

    function accepted(waitedMs: number | null): void {
      const { taskId, acceptedAtMs } = kept
      sendAccepted(response, taskId, queue.nameJson, acceptedAtMs, withApplied(extra, preferences, waitedMs))
    }
  }

  async function getTask(call: Call): Promise<void> {
    const { read, applied } = await readFor(call)
    sendTask(call.response, read, applied)
  }

  async function deleteTask({ response, fields, parameters }: Call): Promise<void> {
    sendTask(response, await cancelTask(parameters.id!, authenticate(fields.authorization)), NO_HEADERS)
  }

  async function getResult(call: Call): Promise<void> {
    const { read, applied } = await readFor(call)
    if (read.view !== null && read.view.finishedAtMs !== null) {
      const whole = await fetchWhole(call.response, read.view)
      if (!call.response.destroyed) sendEnded(call.response, whole, applied)
      return
    }
    throw new ForebayError(
      'RESULT_NOT_READY',
      'The task has not ended yet; ask again, or wait with "Prefer: wait=10".',
      {
        members: { task: read.id.id, state: read.view?.state ?? 'pending' },
      },
    )
  }

  /** A large answer holds its memory until it has left, so a caller who stops reading is let go. */
  async function fetchWhole(response: ServerResponse, view: TaskView): Promise<TaskView> {
    if (view.blob === undefined) return view
    const gone = new AbortController()
    response.on('close', () => gone.abort(new ForebayError('CLOSED', 'The caller is gone.')))
    const { view: whole, free } = await parts.largeAnswers.whole(view, gone.signal)
    if (response.destroyed) free()
    else response.on('close', free).setTimeout(LARGE_ANSWER_IDLE_MS)
    return whole
  }

  async function readFor({
    response,
    fields,
    parameters,
  }: Call): Promise<{ read: TaskRead; applied: readonly string[] }> {
    const owner = authenticate(fields.authorization)
    const id = parameters.id!
    const preferences = readPreferences(fields.prefer, http.waitMaxMs)
    const waitMs = preferences.waitMs ?? 0
    if (waitMs === 0)
      return { read: await readTask(id, owner, 0), applied: withApplied(NO_HEADERS, preferences, preferences.waitMs) }
    const read = await waits.during(
      callerOf(response),
      bySignal(async (signal) => {
        try {
          return await readTask(id, owner, waitMs, signal)
        } catch (thrown) {
          if (!signal.aborted) throw thrown
          return null
        }
      }),
    )
    sayGoodbye(response)
    return { read: read ?? (await readTask(id, owner, 0)), applied: withApplied(NO_HEADERS, preferences, waitMs) }
  }

  /** The answer to somebody who was let go by a stop is the last one of its connection. */
  function sayGoodbye(response: ServerResponse): void {
    if (admission.stopping && !response.destroyed) response.setHeader('Connection', 'close')
  }

  async function close(): Promise<number> {
    admission.stop()
    waits.end()
    sse.stop()
    webSockets.stop()
    let left = 0
    let idling = clock.timer(0, closeIdle)
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    cut = () => {
      server.getConnections((_error, count) => {
        left += count
        webSockets.cut()
        server.closeAllConnections()
      })
    }
    await closed
    idling.cancel()
    await app.close()
    return left

    /** Connections fall idle one by one, as their last answers are sent. */
    function closeIdle(): void {
      server.closeIdleConnections()
      idling = clock.timer(CLOSE_IDLE_MS, closeIdle)
    }
  }
}

/** Names that need no decoding; whatever else is asked for is the router's. */
const TASKS_PATH = /^\/v1\/queues\/([\w.-]{1,100})\/tasks$/
/** A key of 256 bytes with every byte escaped fits. */
const PARAMETER_CHARACTERS_MAX = 1_024
/** How much of a refused body is let pass before the connection is cut. bytes */
const DISCARD_BYTES_MAX = 8 * 1_048_576
/** How often a stop looks for connections that have fallen idle. ms */
const CLOSE_IDLE_MS = 20
/** A caller who takes nothing of a large answer for so long is cut off. ms */
const LARGE_ANSWER_IDLE_MS = 30_000
const NO_PARAMETERS: Call['parameters'] = {}
const NO_HEADERS: readonly string[] = []
const CLOSE: readonly string[] = ['Connection', 'close']

/** What is said of the Idempotency-Key that came with a task. */
function aboutKey({ keyExpiresAtMs, replayed }: Kept): readonly string[] {
  if (keyExpiresAtMs === null) return NO_HEADERS
  const until = ['Forebay-Idempotency-Expires', httpDate(keyExpiresAtMs)]
  return replayed ? [...until, 'Idempotent-Replayed', 'true'] : until
}

function routeNotFound(): never {
  throw new ForebayError(
    'ROUTE_NOT_FOUND',
    'There is nothing at this address; tasks are handed in at POST /v1/queues/{queue}/tasks.',
  )
}

function refuseOtherMethods(app: FastifyInstance, url: string, known: ReadonlySet<string>): void {
  const others = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].filter((method) => !known.has(method))
  const allow = ['Allow', [...known].join(', ')]
  app.route({
    method: others,
    url,
    exposeHeadRoute: false,
    handler: (_request, reply) => {
      reply.hijack()
      sendProblem(reply.raw, methodNotAllowed(), [...allow, ...CLOSE])
    },
  })
}

function withApplied(extra: readonly string[], preferences: Preferences, waitedMs: number | null): readonly string[] {
  if (waitedMs !== null) return [...extra, 'Preference-Applied', appliedWait(waitedMs)]
  return preferences.respondAsync ? [...extra, 'Preference-Applied', 'respond-async'] : extra
}

function discard(request: IncomingMessage): void {
  let left = DISCARD_BYTES_MAX
  request.on('error', () => {})
  request.on('data', (chunk: Buffer) => {
    left -= chunk.length
    if (left < 0) request.destroy()
  })
}
