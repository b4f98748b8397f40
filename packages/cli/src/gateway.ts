import { type ErrorCode, isErrorCode } from '@forebay/protocol/errors'
import { type ProblemBody, RequestError } from '@forebay/sdk/client'
import type { Context } from './context.ts'
import { CommandError, EXIT } from './exit-codes.ts'
import { requestFault } from './request-faults.ts'

export const URL_DEFAULT = 'http://127.0.0.1:8080'
export const URL_FLAG = ['--url <url>', `the gateway (FOREBAY_URL; default: ${URL_DEFAULT})`] as const

export interface GatewayFlags {
  readonly url?: string
}

export interface AdminAsk {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** Put together by `adminPath`. */
  readonly path: string
  readonly body?: Uint8Array
  readonly contentType?: string
}

/** An operator's side of a gateway: what only operators may ask for. What it throws ends the command well explained. */
export interface Gateway {
  readonly url: string
  json(ask: AdminAsk): Promise<unknown>
  /** Of an answer that comes line by line, each line as it comes; a problem among them is thrown. */
  lines(ask: AdminAsk): AsyncGenerator<unknown>
}

export function openGateway(flags: GatewayFlags, { environment }: Context): Gateway {
  const url = (flags.url ?? environment.url ?? URL_DEFAULT).replace(/\/+$/, '')
  if (!/^https?:\/\/[^/?#@\s]+$/.test(url)) {
    const message = `--url ${url} is not an http or https address.`
    throw new CommandError(EXIT.usage, message, {
      fix: [`Write --url ${URL_DEFAULT}; FOREBAY_KEY holds the access key.`],
    })
  }
  return {
    url,
    async json(ask) {
      const response = await send(ask, AbortSignal.timeout(ANSWER_WITHIN_MS))
      try {
        return await response.json()
      } catch (thrown) {
        throw requestFault(unreachable(url, ask, thrown), url)
      }
    },
    async *lines(ask) {
      const leaving = new AbortController()
      const response = await send(ask, leaving.signal)
      try {
        for await (const line of linesOf(response)) {
          const value = JSON.parse(line) as { readonly problem?: ProblemBody }
          if (value.problem !== undefined) throw requestFault(refusal(response.status, value.problem), url)
          yield value
        }
      } catch (thrown) {
        throw thrown instanceof CommandError ? thrown : requestFault(unreachable(url, ask, thrown), url)
      } finally {
        leaving.abort()
      }
    },
  }

  async function send(ask: AdminAsk, signal: AbortSignal): Promise<Response> {
    const { method = 'GET', path, body, contentType } = ask
    const headers = {
      ...(environment.key === undefined ? {} : { authorization: `Bearer ${environment.key}` }),
      ...(contentType === undefined ? {} : { 'content-type': contentType }),
    }
    let response: Response
    let text = ''
    try {
      const init = { method, headers, signal, redirect: 'manual' as const }
      response = await fetch(url + path, body === undefined ? init : { ...init, body: body as Uint8Array<ArrayBuffer> })
      if (!response.ok) text = await response.text()
    } catch (thrown) {
      throw requestFault(unreachable(url, ask, thrown), url)
    }
    if (response.ok) return response
    throw requestFault(refusal(response.status, problemIn(response, text)), url)
  }
}

/** A path with its variable parts escaped: adminPath`/v1/admin/queues/${queue}/parked`. */
export function adminPath(fixed: TemplateStringsArray, ...parts: readonly string[]): string {
  return fixed.reduce((path, piece, index) => path + encodeURIComponent(parts[index - 1]!) + piece)
}

/** With the parameters that have a value. */
export function withQuery(path: string, parameters: Readonly<Record<string, string | number | undefined>>): string {
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) query.set(name, String(value))
  return query.size === 0 ? path : `${path}?${query}`
}

const ANSWER_WITHIN_MS = 30_000

async function* linesOf(response: Response): AsyncGenerator<string> {
  let rest = ''
  const decoder = new TextDecoder()
  for await (const chunk of response.body ?? []) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop()!
    yield* lines
  }
  if (rest !== '') yield rest
}

function problemIn(response: Response, text: string): ProblemBody | null {
  if (!response.headers.get('content-type')?.startsWith('application/problem+json')) return null
  try {
    return JSON.parse(text) as ProblemBody
  } catch {
    return null
  }
}

function refusal(status: number, problem: ProblemBody | null): RequestError {
  if (problem === null) {
    const message = `Answered ${status}, but not as a Forebay gateway does; something else answers at that address.`
    return new RequestError('UNEXPECTED_ANSWER', message, { status, isRetryable: false })
  }
  const code = isErrorCode(String(problem.code)) ? (problem.code as ErrorCode) : 'UNEXPECTED_ANSWER'
  return new RequestError(code, String(problem.detail), { status, problem, isRetryable: problem.retryable === true })
}

function unreachable(url: string, { method = 'GET', path }: AdminAsk, thrown: unknown): RequestError {
  const deepest = thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause : thrown
  const why = deepest instanceof Error ? deepest.message || deepest.name : String(deepest)
  return new RequestError('UNREACHABLE', `${method} ${url}${path}: ${why}`, { isRetryable: true, cause: thrown })
}
