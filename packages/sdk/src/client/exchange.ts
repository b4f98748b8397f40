import { decodeText } from '../body.ts'
import { codeOf, isBadEnd, type ProblemBody, RequestError } from './errors.ts'
import type { ResolvedClientOptions } from './options.ts'
import { readRetryAfterMs } from './retry-after.ts'

export interface Ask {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** From the gateway's address on: '/v1/…'. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Uint8Array
  /** For the whole exchange, the last byte of the answer included. */
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined
}

/** A 2xx. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly bytes: Uint8Array
}

/** The beginning of a 2xx; the rest comes piece by piece. */
export interface OpenAnswer {
  readonly status: number
  readonly headers: Headers
  /** The next piece; null once the answer is over, broken off or closed. Throws the signal's reason when it aborted. */
  read(): Promise<Uint8Array | null>
  /** Safe to call twice. */
  close(): void
}

/** Asks one gateway after the other. */
export class Exchange {
  readonly #options: ResolvedClientOptions
  #turn: number

  constructor(options: ResolvedClientOptions) {
    this.#options = options
    // Clients that start together should not all begin with the same gateway.
    this.#turn = Math.floor(options.random.unit() * options.urls.length)
  }

  /** One request. Throws a RequestError for anything but a 2xx, the signal's reason when it aborted. */
  async ask(ask: Ask): Promise<Answer> {
    const sent = this.#begin(ask)
    try {
      const answer = await this.#fetch(sent.url, ask, sent.signal)
      if (answer.status >= 200 && answer.status < 300) return answer
      throw refusal(sent.url, ask, answer, this.#options.clock.wallMs())
    } catch (thrown) {
      throw this.#failed(sent.url, ask, thrown)
    } finally {
      sent.timer.cancel()
      sent.letGo()
    }
  }

  /** One request whose answer goes on and on; `timeoutMs` is for its beginning. Throws as `ask` does. */
  async open(ask: Ask): Promise<OpenAnswer> {
    const sent = this.#begin(ask)
    const close = () => {
      sent.abort(new Error('closed'))
      sent.letGo()
    }
    try {
      const response = await this.#request(sent.url, ask, sent.signal)
      const { status, headers, body } = response
      if (status < 200 || status >= 300) {
        const bytes = new Uint8Array(await response.arrayBuffer())
        throw refusal(sent.url, ask, { status, headers, bytes }, this.#options.clock.wallMs())
      }
      const reader = body?.getReader()
      const read = async () => {
        try {
          return (await reader?.read())?.value ?? null
        } catch {
          if (ask.signal?.aborted) throw ask.signal.reason
          return null
        }
      }
      return { status, headers, read, close }
    } catch (thrown) {
      close()
      throw this.#failed(sent.url, ask, thrown)
    } finally {
      sent.timer.cancel()
    }
  }

  /** The next request goes to the next gateway. */
  turnAway(): void {
    this.#turn++
  }

  /** Ends by the caller's signal, and by its time until `timer` is cancelled; `letGo` takes its hands off the signal. */
  #begin({ path, signal, timeoutMs }: Ask) {
    const { urls, clock } = this.#options
    signal?.throwIfAborted()
    const aborter = new AbortController()
    const abort = (reason: unknown) => aborter.abort(reason)
    const onAbort = () => abort(signal?.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    return {
      url: `${urls[this.#turn % urls.length]}${path}`,
      signal: aborter.signal,
      abort,
      timer: clock.timer(timeoutMs, () => abort(new Error(`no answer within ${timeoutMs} ms`))),
      letGo: () => signal?.removeEventListener('abort', onAbort),
    }
  }

  /** What is to be thrown; the next request goes elsewhere where that can help. */
  #failed(url: string, ask: Ask, thrown: unknown): unknown {
    if (ask.signal?.aborted) return ask.signal.reason
    const error = thrown instanceof RequestError ? thrown : unreachable(url, ask, thrown)
    if (error.isRetryable) this.turnAway()
    return error
  }

  async #fetch(url: string, ask: Ask, signal: AbortSignal): Promise<Answer> {
    const response = await this.#request(url, ask, signal)
    const bytes = new Uint8Array(await response.arrayBuffer())
    return { status: response.status, headers: response.headers, bytes }
  }

  #request(url: string, { method, headers, body }: Ask, signal: AbortSignal): Promise<Response> {
    const { authorization, fetch } = this.#options
    return fetch(url, {
      method,
      headers: authorization === null ? headers : { ...headers, authorization },
      // A redirect could turn a POST into a GET, or carry the task elsewhere.
      redirect: 'manual',
      signal,
      ...(body === undefined ? {} : { body: body as Uint8Array<ArrayBuffer> }),
    })
  }
}

function refusal(url: string, ask: Ask, { status, headers, bytes }: Answer, wallMs: number): RequestError {
  const retryAfterMs = readRetryAfterMs(headers.get('retry-after'), wallMs)
  const known = { status, ...(retryAfterMs === null ? {} : { retryAfterMs }), ...keyOf(ask) }
  const problem = readProblem(headers, bytes)
  if (problem !== null) {
    const detail = typeof problem.detail === 'string' ? problem.detail : `${ask.method} ${url}: answered ${status}`
    // A task that ended badly may be worth a new one, but asking for this one again changes nothing.
    const isRetryable = problem.retryable === true && !isBadEnd(problem.state)
    return new RequestError(codeOf(problem), detail, { ...known, problem, isRetryable })
  }
  const answered = `${ask.method} ${url}: answered ${status}`
  if (PROXY_ERRORS.has(status)) return new RequestError('UNREACHABLE', answered, { ...known, isRetryable: true })
  const hint = status >= 300 && status < 400 ? `, a redirect to ${headers.get('location')}: use that address` : ''
  const message = `${answered}${hint}; no Forebay gateway says that, so something else answers there`
  return new RequestError('UNEXPECTED_ANSWER', message, { ...known, isRetryable: false })
}

function unreachable(url: string, ask: Ask, thrown: unknown): RequestError {
  const deepest = thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause : thrown
  const why = deepest instanceof Error ? deepest.message || deepest.name : String(deepest)
  const message = `${ask.method} ${url}: ${why}`
  return new RequestError('UNREACHABLE', message, { ...keyOf(ask), isRetryable: true, cause: thrown })
}

function keyOf({ headers }: Ask): { idempotencyKey?: string } {
  const idempotencyKey = headers['idempotency-key']
  return idempotencyKey === undefined ? {} : { idempotencyKey }
}

function readProblem(headers: Headers, bytes: Uint8Array): ProblemBody | null {
  if (!headers.get('content-type')?.startsWith('application/problem+json')) return null
  try {
    const problem: unknown = JSON.parse(decodeText(bytes))
    return typeof problem === 'object' && problem !== null ? (problem as ProblemBody) : null
  } catch {
    return null
  }
}

/** What proxies say when they reach no gateway, and when they hold back too many requests. */
const PROXY_ERRORS: ReadonlySet<number> = new Set([429, 502, 503, 504])
