import { isErrorCode } from '@forebay/protocol'
import { CommandError, EXIT, exitCodeOf } from './exit-codes.ts'

/** The HTTP door as the commands see it; every failure ends the command with the server's own words. */
export interface GatewayClient {
  readonly url: string
  submit(request: SubmitRequest): Promise<Answer>
  /** How the task stands: waits up to `waitMs` for its end. */
  task(id: string, waitMs: number): Promise<TaskDocument>
  result(id: string): Promise<TaskResult>
}

export interface SubmitRequest {
  readonly queue: string
  readonly body: Uint8Array<ArrayBuffer>
  readonly contentType: string
  readonly key: string | undefined
  readonly idempotencyKey: string | undefined
  readonly waitMs: number
}

export type Answer =
  | { readonly kind: 'accepted'; readonly id: string }
  | { readonly kind: 'ended'; readonly id: string; readonly result: TaskResult }

export interface TaskResult {
  readonly bytes: Uint8Array
  readonly contentType: string
}

/** As the door sends it. */
export interface TaskDocument {
  readonly id: string
  readonly queue: string
  readonly state: string
  readonly attempts: number
  readonly acceptedAt: string
  readonly finishedAt?: string
  readonly problem?: { readonly code: string; readonly detail: string }
}

/** The door cuts longer waits anyway; many short ones also get through proxies that end silent connections. */
const WAIT_STEP_MS = 30_000
export const URL_DEFAULT = 'http://127.0.0.1:8080'

export function gatewayClient(url: string, accessKey: string | undefined): GatewayClient {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    const fix = [`Write --url ${URL_DEFAULT}, or set FOREBAY_URL.`]
    throw new CommandError(EXIT.usage, `${JSON.stringify(url)} is not the address of a gateway.`, { fix })
  }
  const base = url.replace(/\/+$/, '')
  const authorization: Record<string, string> = accessKey === undefined ? {} : { Authorization: `Bearer ${accessKey}` }
  return {
    url: base,
    async submit(request) {
      const { key, idempotencyKey, waitMs } = request
      const response = await send(`${base}/v1/queues/${encodeURIComponent(request.queue)}/tasks`, {
        method: 'POST',
        body: request.body,
        headers: {
          ...authorization,
          'Content-Type': request.contentType,
          ...(waitMs > 0 ? { Prefer: `wait=${Math.min(waitMs, WAIT_STEP_MS) / 1_000}` } : {}),
          ...(key === undefined ? {} : { 'Forebay-Key': Buffer.from(key).toString('latin1') }),
          ...(idempotencyKey === undefined ? {} : { 'Idempotency-Key': idempotencyKey }),
        },
      })
      if (response.status === 202) return { kind: 'accepted', id: ((await response.json()) as TaskDocument).id }
      return { kind: 'ended', id: response.headers.get('forebay-task') ?? '', result: await readResult(response) }
    },
    async task(id, waitMs) {
      let leftMs = waitMs
      for (;;) {
        const stepMs = Math.min(leftMs, WAIT_STEP_MS)
        const headers = { ...authorization, ...(stepMs > 0 ? { Prefer: `wait=${stepMs / 1_000}` } : {}) }
        const document = (await (await send(taskUrl(base, id), { headers })).json()) as TaskDocument
        leftMs -= stepMs
        if (leftMs <= 0 || document.finishedAt !== undefined) return document
      }
    },
    async result(id) {
      return readResult(await send(`${taskUrl(base, id)}/result`, { headers: authorization }))
    },
  }
}

function taskUrl(base: string, id: string): string {
  return `${base}/v1/tasks/${encodeURIComponent(id)}`
}

async function readResult(response: Response): Promise<TaskResult> {
  const contentType = response.headers.get('content-type') ?? 'application/octet-stream'
  return { bytes: new Uint8Array(await response.arrayBuffer()), contentType }
}

async function send(url: string, init: RequestInit): Promise<Response> {
  let response: Response
  try {
    response = await fetch(url, { ...init, redirect: 'error' })
  } catch (error) {
    const why = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error)
    throw new CommandError(EXIT.notConnected, `No answer from ${new URL(url).origin}: ${why}`, {
      fix: ['forebay up    starts a gateway here; --url or FOREBAY_URL names one elsewhere.'],
      cause: error,
    })
  }
  if (response.ok) return response
  throw await refusal(response)
}

async function refusal(response: Response): Promise<CommandError> {
  const text = await response.text()
  let problem: { code?: unknown; detail?: unknown } = {}
  try {
    problem = JSON.parse(text) as typeof problem
  } catch {
    // Something else than a gateway answered: a proxy, a stranger on the port.
  }
  const { code, detail } = problem
  if (typeof code === 'string' && isErrorCode(code)) {
    const fix = code === 'UNAUTHENTICATED' ? ['Set FOREBAY_KEY to an access key that this gateway knows.'] : []
    return new CommandError(exitCodeOf(code), String(detail ?? code), { code, fix })
  }
  return new CommandError(EXIT.failed, `The server answered ${response.status} and is no Forebay gateway.`)
}
