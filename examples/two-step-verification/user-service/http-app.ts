import { readFileSync } from 'node:fs'
import type { Clock } from '@forebay/broker'
import { type FastifyInstance, type FastifyReply, fastify } from 'fastify'
import type { Logger } from 'pino'
import { continueTrace, type Trace } from '../trace.ts'
import type { Accounts } from './accounts.ts'
import { type Checked, readRegistration, readResend, readVerification } from './registration-input.ts'
import { requestRate } from './request-rate.ts'

export interface HttpOptions {
  readonly accounts: Accounts
  readonly clock: Clock
  readonly log: Logger
  /** From one address. */
  readonly requestsPerMinute: number
  /** The address of a client is what the proxy in front says. */
  readonly isBehindProxy: boolean
}

/** The API and the page. Every answer is a JSON object or application/problem+json. */
export function createHttpApp({
  accounts,
  clock,
  log,
  requestsPerMinute,
  isBehindProxy,
}: HttpOptions): FastifyInstance {
  const app = fastify({
    bodyLimit: BODY_BYTES_MAX,
    requestTimeout: REQUEST_TIMEOUT_MS,
    trustProxy: isBehindProxy,
    // Browsers keep connections open, and close() would wait for them.
    forceCloseConnections: 'idle',
  })
  const rate = requestRate(requestsPerMinute)
  let running = 0
  // Any page may send a form as text/plain to us from its reader's browser; JSON it may not.
  app.removeContentTypeParser('text/plain')

  app.addHook('onSend', async (_request, reply) => {
    reply.headers(SECURITY_HEADERS)
  })
  // Without addresses, names and codes: logs are read by many.
  app.addHook('onResponse', async (request, reply) => {
    const traceparent = reply.getHeader('traceparent')
    if (typeof traceparent !== 'string') return
    const { traceId } = continueTrace(traceparent)
    log.info({ traceId, route: request.routeOptions.url, status: reply.statusCode }, 'A request was answered.')
  })
  app.setNotFoundHandler((_request, reply) => problem(reply, 404, 'There is no such page.'))
  app.setErrorHandler((error, request, reply) => {
    const status = statusOf(error)
    if (status < 500) return problem(reply, status, BAD_REQUESTS[status] ?? 'This request cannot be read.')
    log.error({ err: error, route: request.routeOptions.url }, 'A request failed.')
    return problem(reply, 503, 'Something is not available now. Try again in a moment.')
  })
  for (const [path, { file, type }] of Object.entries(PAGE)) {
    const content = readFileSync(new URL(`page/${file}`, import.meta.url))
    app.get(path, (_request, reply) => reply.type(type).header('cache-control', 'no-cache').send(content))
  }

  /** A call of the API: bounded, and answered at a mark of time that says nothing about what was done. */
  function call<Input>(
    path: string,
    read: (body: unknown) => Checked<Input>,
    act: (input: Input, trace: Trace, reply: FastifyReply) => Promise<unknown>,
  ): void {
    app.post(path, async (request, reply) => {
      const trace = continueTrace(request.headers.traceparent)
      reply.header('traceparent', trace.traceparent).header('cache-control', 'no-store')
      const waitSeconds = rate.waitSeconds(request.ip, clock.monotonicMs())
      if (waitSeconds > 0) {
        reply.header('retry-after', waitSeconds)
        return problem(reply, 429, 'These were too many requests. Wait a moment.')
      }
      if (running >= RUNNING_MAX)
        return problem(reply.header('retry-after', 1), 503, 'Too much is going on. Try again.')
      const checked = read(request.body)
      if (checked.kind === 'faulty') return problem(reply, 422, 'Some of this needs another look.', checked.faults)
      running++
      const startedMs = clock.monotonicMs()
      try {
        return await act(checked.input, trace, reply)
      } finally {
        await untilMark(clock, startedMs)
        running--
      }
    })
  }

  call('/api/register', readRegistration, async (registration, trace, reply) => {
    await accounts.register(registration, trace)
    return reply.code(202).send(ACCEPTED)
  })
  call('/api/resend', readResend, async ({ address }, trace, reply) => {
    await accounts.resend(address, trace)
    return reply.code(202).send(ACCEPTED)
  })
  call('/api/verify', readVerification, async ({ address, code }, trace, reply) => {
    const verdict = await accounts.verify(address, code, trace)
    if (verdict === 'verified') return reply.send({ status: 'verified' })
    return problem(reply, 422, 'This code is wrong, expired or used up.', [
      { field: 'code', message: 'This code is wrong, expired or used up. Ask for a new one.' },
    ])
  })
  return app
}

const BODY_BYTES_MAX = 4_096
const REQUEST_TIMEOUT_MS = 10_000
const RUNNING_MAX = 200
/** Answers leave at multiples of it, so that what a case costs cannot be measured. */
export const ANSWER_MARK_MS = 50
const ACCEPTED = { status: 'accepted', message: 'If this address can be verified, a mail with a code is on its way.' }
const BAD_REQUESTS: Readonly<Record<number, string>> = {
  413: `A request has ${BODY_BYTES_MAX} bytes at most.`,
  415: 'Send application/json.',
}
const PAGE: Readonly<Record<string, { readonly file: string; readonly type: string }>> = {
  '/': { file: 'index.html', type: 'text/html; charset=utf-8' },
  '/page.js': { file: 'page.js', type: 'text/javascript; charset=utf-8' },
  '/page.css': { file: 'page.css', type: 'text/css; charset=utf-8' },
}
const SECURITY_HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  'referrer-policy': 'no-referrer',
  'strict-transport-security': 'max-age=31536000',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
}

function problem(reply: FastifyReply, status: number, title: string, errors: readonly object[] = []): FastifyReply {
  const body = { type: 'about:blank', status, title, ...(errors.length > 0 ? { errors } : {}) }
  return reply.code(status).type('application/problem+json').send(body)
}

async function untilMark(clock: Clock, startedMs: number): Promise<void> {
  const tookMs = clock.monotonicMs() - startedMs
  await clock.sleep(Math.ceil(tookMs / ANSWER_MARK_MS) * ANSWER_MARK_MS - tookMs)
}

function statusOf(error: unknown): number {
  const status = typeof error === 'object' && error !== null && 'statusCode' in error ? error.statusCode : 500
  return typeof status === 'number' ? status : 500
}
