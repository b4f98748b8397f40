import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'

export type Posted =
  | { readonly kind: 'kept' }
  /** It may work later, or is not known to have worked. */
  | { readonly kind: 'again'; readonly why: string; readonly afterMs: number | null }
  /** It will never be taken. */
  | { readonly kind: 'refused'; readonly why: string }

/** Whoever posts to one collector over connections that stay open. */
export interface Poster {
  post(body: Buffer, headers: Readonly<Record<string, string>>): Promise<Posted>
  close(): void
}

/** `http://host:port`, `https://host:port` or `unix:/path/of/socket`; null for anything else. */
export function createPoster(collector: string, path: string): Poster | null {
  const target = targetOf(collector)
  if (target === null) return null
  const agent = target.isSecure
    ? new HttpsAgent({ keepAlive: true, maxSockets: 1 })
    : new HttpAgent({ keepAlive: true, maxSockets: 1 })
  return {
    post: (body, headers) =>
      new Promise((done) => {
        const options = { ...target.options, path, agent, method: 'POST', timeout: ANSWER_WITHIN_MS }
        const request = (target.isSecure ? httpsRequest : httpRequest)({
          ...options,
          headers: { ...headers, 'content-type': 'application/x-ndjson', 'content-length': body.length },
        })
        request.on('timeout', () => request.destroy(new Error(`no answer within ${ANSWER_WITHIN_MS} ms`)))
        request.on('error', ({ message }) => done({ kind: 'again', why: message, afterMs: null }))
        request.on('response', (response) => readAnswer(response, done))
        request.end(body)
      }),
    close: () => agent.destroy(),
  }
}

/** Longer than a disk that is well takes to flush. */
const ANSWER_WITHIN_MS = 10_000
/** Of an answer's text, for people. */
const WHY_CHARACTERS_MAX = 300
/** Nobody is told to wait longer than that. */
const AFTER_MS_MAX = 60_000

/** They say that these bytes are wrong; anything else may be mended by somebody. */
const REFUSALS: ReadonlySet<number> = new Set([400, 413, 422])

function readAnswer(response: IncomingMessage, done: (posted: Posted) => void): void {
  const pieces: Buffer[] = []
  response.on('data', (piece: Buffer) => {
    if (pieces.length < 16) pieces.push(piece)
  })
  response.on('error', ({ message }) => done({ kind: 'again', why: message, afterMs: null }))
  response.on('end', () => {
    const status = response.statusCode ?? 0
    if (status === 202) return done({ kind: 'kept' })
    const why = `${status} ${Buffer.concat(pieces).toString().slice(0, WHY_CHARACTERS_MAX)}`
    if (REFUSALS.has(status)) return done({ kind: 'refused', why })
    const after = Number(response.headers['retry-after']) * 1_000
    done({ kind: 'again', why, afterMs: after > 0 ? Math.min(after, AFTER_MS_MAX) : null })
  })
}

function targetOf(collector: string): { readonly isSecure: boolean; readonly options: RequestOptions } | null {
  if (collector.startsWith('unix:/')) {
    return { isSecure: false, options: { socketPath: collector.slice('unix:'.length), host: 'localhost' } }
  }
  const url = URL.canParse(collector) ? new URL(collector) : null
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:') || url.pathname !== '/') return null
  const isSecure = url.protocol === 'https:'
  const port = url.port === '' ? (isSecure ? 443 : 80) : Number(url.port)
  return { isSecure, options: { host: url.hostname.replace(/^\[|\]$/g, ''), port } }
}
