import { type Clock, type Random, systemClock, systemRandom } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol/errors'
import { type Duration, durationMs } from '../duration.ts'

export interface ClientOptions {
  /** Where a gateway listens: 'http://127.0.0.1:8080'. */
  readonly url?: string
  /** Several gateways; the next one is asked when one does not answer. */
  readonly urls?: readonly string[]
  /** Access key, where the gateway asks for one. */
  readonly key?: string
  /** How long one request may take, beside what it is asked to wait for a result. Default '10s'. */
  readonly timeout?: Duration
  readonly retry?: RetryOptions
  /** Default: Node's own, which keeps connections alive. */
  readonly fetch?: typeof globalThis.fetch
  readonly clock?: Clock
  readonly random?: Random
}

/** Of submitting and of reading a state; waiting for a result goes on until its own time is over. */
export interface RetryOptions {
  /** Requests in all. Default 5; 1 never retries. */
  readonly attempts?: number
  /** No further request starts later than this. Default '30s'. */
  readonly within?: Duration
}

export interface ResolvedClientOptions {
  readonly urls: readonly string[]
  readonly authorization: string | null
  readonly timeoutMs: number
  readonly retry: { readonly attemptsMax: number; readonly withinMs: number }
  readonly fetch: typeof globalThis.fetch
  readonly clock: Clock
  readonly random: Random
}

/** Throws a ForebayError CONFIG_INVALID that names the option, the value and what is right. */
export function resolveClientOptions(given: ClientOptions): ResolvedClientOptions {
  return {
    urls: resolveUrls(given),
    authorization: given.key === undefined ? null : resolveAccessKey(given.key),
    timeoutMs: durationMs(given.timeout ?? TIMEOUT_DEFAULT, 'timeout'),
    retry: {
      attemptsMax: resolveAttempts(given.retry?.attempts ?? ATTEMPTS_DEFAULT),
      withinMs: durationMs(given.retry?.within ?? RETRY_WITHIN_DEFAULT, 'retry.within'),
    },
    fetch: given.fetch ?? globalThis.fetch,
    clock: given.clock ?? systemClock,
    random: given.random ?? systemRandom,
  }
}

const TIMEOUT_DEFAULT = '10s'
const ATTEMPTS_DEFAULT = 5
const RETRY_WITHIN_DEFAULT = '30s'

function resolveUrls({ url, urls }: ClientOptions): readonly string[] {
  const given = [...(url === undefined ? [] : [url]), ...(urls ?? [])]
  if (given.length === 0) throw invalid('url', "name at least one gateway, like 'http://127.0.0.1:8080'")
  return given.map((text) => {
    const parsed = URL.parse(text)
    if (parsed === null || !/^https?:$/.test(parsed.protocol)) {
      throw invalid('url', `must be an http or https address, got ${JSON.stringify(text)}`)
    }
    if (parsed.username !== '' || parsed.password !== '' || parsed.search !== '' || parsed.hash !== '') {
      throw invalid('url', 'must have no user, query or fragment; an access key goes into `key`')
    }
    return parsed.href.replace(/\/+$/, '')
  })
}

/** Not repeated in the message: it is a secret. */
function resolveAccessKey(key: string): string {
  if (!/^[\x21-\x7e]+$/.test(key)) throw invalid('key', 'must be visible ASCII characters without spaces')
  return `Bearer ${key}`
}

function resolveAttempts(attempts: number): number {
  if (Number.isInteger(attempts) && attempts >= 1) return attempts
  throw invalid('retry.attempts', `must be a whole number of at least 1, got ${attempts}`)
}

function invalid(field: string, fix: string): ForebayError {
  return new ForebayError('CONFIG_INVALID', `createClient: ${field}: ${fix}.`, { members: { field } })
}
