import { type ErrorCode, ForebayError } from '@forebay/protocol'
import { messageOf } from '../data-faults.ts'
import type { RegistryAuth, ResolvedRegistry } from './registry-options.ts'

export interface RegistryRequest {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly body?: object
}

/**
 * Asks the servers of a registry, the next one after each failure, with a pause that doubles. Rejects with
 * SCHEMA_NOT_FOUND, SCHEMA_INCOMPATIBLE, SCHEMA_REFUSED, UNAUTHENTICATED or FORBIDDEN as they answer, REGISTRY_UNAVAILABLE
 * where none does.
 */
export class RegistryRequests {
  readonly #options: ResolvedRegistry
  readonly #closed = new AbortController()
  readonly #waiting: (() => void)[] = []
  #running = 0
  #server = 0

  constructor(options: ResolvedRegistry) {
    this.#options = options
  }

  async send(request: RegistryRequest): Promise<unknown> {
    if (this.#running >= REQUESTS_MAX) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#running++
    try {
      return await this.#tryAll(request)
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }

  /** Waits, unless closed before: then it rejects. */
  async pause(delayMs: number): Promise<void> {
    await this.#options.clock.sleep(delayMs, this.#closed.signal)
  }

  close(): void {
    this.#closed.abort(new ForebayError('CLOSED', 'The schema registry was closed.'))
  }

  async #tryAll(request: RegistryRequest): Promise<unknown> {
    const { retries, random } = this.#options
    for (let attempt = 0; ; attempt++) {
      this.#closed.signal.throwIfAborted()
      const answer = await this.#try(request)
      if (answer.kind === 'answer') return answer.body
      this.#closed.signal.throwIfAborted()
      if (answer.kind === 'refusal') throw answer.error
      if (attempt >= retries) throw unavailable(answer.why, retries)
      this.#server++
      await this.pause(Math.min(BACKOFF_MS * 2 ** attempt, BACKOFF_MS_MAX) * (0.5 + random.unit() / 2))
    }
  }

  async #try({ method, path, body }: RegistryRequest): Promise<Answer> {
    const { urls, auth, timeoutMs, clock } = this.#options
    const url = urls[this.#server % urls.length]!
    const timedOut = new AbortController()
    const timer = clock.timer(timeoutMs, () => timedOut.abort(new Error(`no answer within ${timeoutMs} ms`)))
    try {
      const response = await fetch(`${url}${path}`, {
        method,
        headers: {
          accept: MEDIA_TYPE,
          ...(body ? { 'content-type': MEDIA_TYPE } : {}),
          ...(await authorization(auth)),
        },
        ...(body ? { body: JSON.stringify(body) } : {}),
        redirect: 'error',
        signal: AbortSignal.any([timedOut.signal, this.#closed.signal]),
      })
      return await answerOf(response, `${method} ${path}`)
    } catch (thrown) {
      const cause = (thrown as { cause?: unknown }).cause
      return { kind: 'failure', why: messageOf(cause instanceof Error ? cause : thrown) }
    } finally {
      timer.cancel()
    }
  }
}

type Answer =
  | { readonly kind: 'answer'; readonly body: unknown }
  | { readonly kind: 'refusal'; readonly error: ForebayError }
  | { readonly kind: 'failure'; readonly why: string }

async function answerOf(response: Response, request: string): Promise<Answer> {
  const { status } = response
  const text = await textOf(response)
  const body = parse(text)
  if (response.ok) {
    return body === undefined ? { kind: 'failure', why: `${request}: its answer is no JSON` } : { kind: 'answer', body }
  }
  const { error_code: registryCode = 0, message = '' } = (body ?? {}) as { error_code?: number; message?: string }
  if (status >= 500 || status === 429) return { kind: 'failure', why: `status ${status}: ${said(message)}` }
  const code = CODES[status] ?? 'SCHEMA_REFUSED'
  const what = `The schema registry answers ${request} with ${status} (${registryCode}): ${said(message)}.`
  return { kind: 'refusal', error: new ForebayError(code, what, { members: { status, registryCode } }) }
}

async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length
    if (bytes > ANSWER_BYTES_MAX) throw new Error(`its answer has more than ${ANSWER_BYTES_MAX} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString()
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function said(message: unknown): string {
  return String(message).slice(0, MESSAGE_CHARS_MAX).replace(/\.$/, '')
}

function unavailable(why: string, retries: number): ForebayError {
  return new ForebayError(
    'REGISTRY_UNAVAILABLE',
    `The schema registry does not answer, asked ${retries + 1} times: ${why}.`,
  )
}

async function authorization(auth: RegistryAuth | null): Promise<Record<string, string>> {
  if (auth === null) return {}
  if ('username' in auth) {
    const pair = Buffer.from(`${auth.username}:${auth.password}`).toString('base64')
    return { authorization: `Basic ${pair}` }
  }
  const token = typeof auth.token === 'function' ? await auth.token() : auth.token
  return { authorization: `Bearer ${token}` }
}

const CODES: Readonly<Record<number, ErrorCode>> = {
  401: 'UNAUTHENTICATED',
  403: 'FORBIDDEN',
  404: 'SCHEMA_NOT_FOUND',
  409: 'SCHEMA_INCOMPATIBLE',
}
const MEDIA_TYPE = 'application/vnd.schemaregistry.v1+json'
/** At once; the rest waits. */
const REQUESTS_MAX = 8
const BACKOFF_MS = 200
const BACKOFF_MS_MAX = 5_000
const ANSWER_BYTES_MAX = 16 * 1024 * 1024
const MESSAGE_CHARS_MAX = 1_000
