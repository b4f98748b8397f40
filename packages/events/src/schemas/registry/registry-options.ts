import { type Clock, type Random, systemClock, systemRandom } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'

export interface SchemaRegistryOptions {
  /** Of one server, or of several that hold the same, which are tried in turn. */
  readonly url: string | readonly string[]
  /** Default: none. A token that is a function is asked for each request. */
  readonly auth?: RegistryAuth
  /**
   * Folder in which schemas, and the ids of what was registered, are kept for a start while no server can be reached.
   * Default: none.
   */
  readonly cacheDir?: string
  /** Of one request. Default 5 s. ms */
  readonly timeoutMs?: number
  /** Further tries of a request that got no answer, or 5xx or 429. Default 3. */
  readonly retries?: number
  /** How long the latest version of a subject is taken for the latest. Default 30 s. ms */
  readonly latestMs?: number
  readonly clock?: Clock
  readonly random?: Random
}

export type RegistryAuth =
  | { readonly username: string; readonly password: string }
  | { readonly token: string | (() => string | Promise<string>) }

export interface ResolvedRegistry {
  readonly urls: readonly string[]
  readonly auth: RegistryAuth | null
  readonly cacheDir: string | null
  readonly timeoutMs: number
  readonly retries: number
  readonly latestMs: number
  readonly clock: Clock
  readonly random: Random
}

/** Throws CONFIG_INVALID that names every field at fault. */
export function resolveRegistry(given: SchemaRegistryOptions): ResolvedRegistry {
  const { url, timeoutMs = 5_000, retries = 3, latestMs = 30_000 } = given
  const urls = typeof url === 'string' ? [url] : url
  const faults = urls.flatMap(urlFaults)
  if (urls.length === 0) faults.push('url: name one at least')
  for (const [field, value, least] of [
    ['timeoutMs', timeoutMs, 1],
    ['retries', retries, 0],
    ['latestMs', latestMs, 0],
  ] as const) {
    if (!(Number.isSafeInteger(value) && value >= least)) faults.push(`${field}: must be a whole number from ${least}`)
  }
  if (faults.length > 0) throw new ForebayError('CONFIG_INVALID', `schemaRegistry: ${faults.join('; ')}.`)
  return {
    urls: urls.map((one) => one.replace(/\/+$/, '')),
    auth: given.auth ?? null,
    cacheDir: given.cacheDir ?? null,
    timeoutMs,
    retries,
    latestMs,
    clock: given.clock ?? systemClock,
    random: given.random ?? systemRandom,
  }
}

/** Never the address itself: it may hold a password. */
function urlFaults(text: string): string[] {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !/^https?:$/.test(url.protocol)) return ['url: must begin with http:// or https://']
  return url.username === '' && url.password === '' ? [] : ['url: give name and password as `auth`']
}
