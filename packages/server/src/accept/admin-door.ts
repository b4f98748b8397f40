import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { ForebayError, toForebayError, toProblem } from '@forebay/protocol'
import type { Telemetry } from '../telemetry.ts'
import type { AdminAnswer, AdminLines, AdminRequest, AdminRoute } from './admin-routes.ts'
import type { Admission } from './admission.ts'
import { sendJson } from './http-answers.ts'
import { type Call, callerOf, type Handle } from './http-call.ts'
import { bySignal, type OpenWaits } from './open-waits.ts'
import type { Authenticate, IsOperator } from './principal.ts'
import { readBody } from './read-body.ts'

export interface AdminDoorParts {
  readonly authenticate: Authenticate
  readonly isOperator: IsOperator
  /** For the bytes of bodies. */
  readonly admission: Admission
  readonly bodyBytesMax: number
  readonly waits: OpenWaits
  readonly telemetry: Telemetry
}

/**
 * Lets operators, and nobody else, through to a route. Whatever changes something leaves an audit line: who did what to
 * what, and what came of it, also when it was refused.
 */
export function adminHandler(route: AdminRoute, parts: AdminDoorParts): Handle {
  const { authenticate, isOperator, admission, bodyBytesMax, waits, telemetry } = parts
  const audited = route.method !== 'GET'

  return async (call) => {
    const principal = authenticate(call.fields.authorization)
    const about = { principal, action: route.action, ...call.parameters }
    try {
      if (!isOperator(principal)) throw forbidden()
      const pending = bySignal((signal) => handle(call, principal, signal))
      const answer = await waits.during(callerOf(call.response), pending)
      note({ ...about, status: answer.status, ...answer.audit })
    } catch (thrown) {
      note({ ...about, refused: toForebayError(thrown).code })
      throw thrown
    }
  }

  function note(line: object): void {
    if (audited) telemetry.log.info({ audit: true, ...line }, 'an operator acted')
  }

  async function handle(call: Call, principal: string, signal: AbortSignal): Promise<AdminAnswer> {
    const { request, response, fields, parameters: params } = call
    const body = await readBody(request, response, fields, bodyBytesMax, admission)
    try {
      const query = new URLSearchParams(request.url!.split('?', 2)[1] ?? '')
      const contentType = fields.contentType ?? null
      const asked: AdminRequest = { params, query, body, contentType, principal, signal }
      const answer = await route.handle(asked)
      if ('json' in answer) sendJson(response, answer.status, [], answer.json)
      else await sendLines(response, answer)
      return answer
    } finally {
      admission.leave(body.length)
    }
  }
}

/** As fast as the caller reads, and no further than it stays. */
async function sendLines(response: ServerResponse, { status, ndjson }: AdminLines): Promise<void> {
  response.writeHead(status, ['Content-Type', 'application/x-ndjson', 'Cache-Control', 'no-store'])
  response.flushHeaders()
  const gone = new AbortController()
  const leave = () => gone.abort()
  response.once('close', leave)
  try {
    for await (const value of ndjson) {
      if (gone.signal.aborted) return
      if (!response.write(`${JSON.stringify(value)}\n`)) await once(response, 'drain', gone)
    }
  } catch (thrown) {
    if (gone.signal.aborted) return
    response.write(`${JSON.stringify({ problem: toProblem(toForebayError(thrown)) })}\n`)
  } finally {
    response.off('close', leave)
    response.end()
  }
}

function forbidden(): ForebayError {
  return new ForebayError(
    'FORBIDDEN',
    'Only operators may do this; use a key of a principal that has "operator: true" in auth.keys.',
  )
}
