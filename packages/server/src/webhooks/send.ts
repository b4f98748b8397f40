import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import type { LookupFunction, Socket } from 'node:net'
import type { Clock } from '@forebay/broker'
import { formatDuration } from '../options/duration.ts'
import type { AllowedTargets } from './allowed-targets.ts'
import type { CallbackUrl } from './callback-url.ts'
import type { HostAddress, LookUp } from './look-up.ts'
import { isPublicAddress } from './public-address.ts'
import { unlessAborted } from './unless-aborted.ts'

/**
 * Posts to an address that a stranger named. The name is looked up here, once, every address that it has is judged, and
 * the connection goes to one of those and nowhere else. It belongs to this call alone; redirects are not followed.
 *
 * The status decides. Of the rest of the answer at most `ANSWER_BYTES_MAX` are read, and thrown away as they came.
 */
export type Send = (call: WebhookCall, signal: AbortSignal) => Promise<Sent>

export interface WebhookCall {
  readonly url: CallbackUrl
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

export type Sent =
  | { readonly kind: 'answered'; readonly status: number; readonly retryAfter: string | undefined }
  /** `detail`: one sentence for the delivery log; it names no address, that would tell of networks that are not the reader's. */
  | { readonly kind: 'failed'; readonly detail: string }
  /** The signal aborted: nobody knows what came of it. */
  | { readonly kind: 'cut' }

export interface SendParts {
  readonly lookUp: LookUp
  readonly allowed: AllowedTargets
  /** Whom to trust, PEM; null: as Node does. */
  readonly ca: readonly string[] | null
  /** From the look-up to the end of the answer. ms */
  readonly timeoutMs: number
  readonly clock: Clock
}

export const ANSWER_BYTES_MAX = 64 * 1024

export function createSend({ lookUp, allowed, ca, timeoutMs, clock }: SendParts): Send {
  return async (call, signal) => {
    const over = new AbortController()
    const cut = () => over.abort()
    signal.addEventListener('abort', cut, { once: true })
    const timer = clock.timer(timeoutMs, cut)
    try {
      signal.throwIfAborted()
      const addresses = await unlessAborted(addressesOf(call.url, over.signal), over.signal)
      const answer = await post(call, addresses, ca, over.signal)
      return { kind: 'answered', ...answer }
    } catch (thrown) {
      if (signal.aborted) return { kind: 'cut' }
      if (over.signal.aborted)
        return { kind: 'failed', detail: `There was no answer within ${formatDuration(timeoutMs)}.` }
      return { kind: 'failed', detail: thrown instanceof CallFailed ? thrown.message : reasonOf(thrown) }
    } finally {
      timer.cancel()
      signal.removeEventListener('abort', cut)
    }
  }

  async function addressesOf(url: CallbackUrl, signal: AbortSignal): Promise<readonly HostAddress[]> {
    const { hostname, family } = url
    const byName = family === 0 && allowed.host(hostname)
    const found = family === 0 ? await named(hostname, byName, signal) : [{ address: hostname, family }]
    const isOpen = ({ address }: HostAddress) => byName || isPublicAddress(address) || allowed.address(address)
    // One that is closed among several is no accident: the name is set up to get in.
    if (found.length === 0 || !found.every(isOpen)) {
      throw new CallFailed('The host leads to an address that is not public; nothing was sent.')
    }
    return found
  }

  async function named(hostname: string, system: boolean, signal: AbortSignal): Promise<readonly HostAddress[]> {
    try {
      return await lookUp(hostname, system, signal)
    } catch (thrown) {
      throw new CallFailed(thrown instanceof Error ? thrown.message : 'The name could not be looked up.')
    }
  }
}

class CallFailed extends Error {}

interface Answer {
  readonly status: number
  readonly retryAfter: string | undefined
}

function post(
  { url, headers, body }: WebhookCall,
  addresses: readonly HostAddress[],
  ca: readonly string[] | null,
  signal: AbortSignal,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const common = {
      method: 'POST',
      host: url.hostname,
      port: url.port,
      path: url.path,
      headers: { ...headers, 'content-length': String(body.length) },
      // A connection that is used again could be one that was checked for another name.
      agent: false as const,
      lookup: pinnedTo(addresses),
      maxHeaderSize: HEADER_BYTES_MAX,
      signal,
    }
    const request = url.secure
      ? requestHttps({
          ...common,
          // Whatever the environment says.
          rejectUnauthorized: true,
          ...(ca === null ? {} : { ca: [...ca] }),
        })
      : requestHttp(common)
    let socket: Socket | null = null
    let answer: Answer | null = null
    const end = (thrown?: unknown) => {
      if (answer !== null) resolve(answer)
      else reject(thrown ?? new CallFailed(CUT_OFF))
      request.destroy()
    }
    const bound = () => {
      if ((socket?.bytesRead ?? 0) > ANSWER_BYTES_MAX) end(new CallFailed('The answer is too long.'))
    }
    request.on('socket', (given) => {
      socket = given
    })
    request.on('error', end)
    request.on('close', () => end())
    // Answers that only announce the answer can go on for ever.
    request.on('information', bound)
    request.on('response', (response) => {
      answer = { status: response.statusCode!, retryAfter: response.headers['retry-after'] }
      response.on('error', end)
      response.on('end', () => end())
      response.on('data', bound)
    })
    request.end(body)
  })
}

const HEADER_BYTES_MAX = 16 * 1024

/** Both forms in which a socket asks for addresses. */
function pinnedTo(addresses: readonly HostAddress[]): LookupFunction {
  return (_hostname, options, callback) => {
    if (options.all) callback(null, [...addresses])
    else callback(null, addresses[0]!.address, addresses[0]!.family)
  }
}

function reasonOf(thrown: unknown): string {
  const [first] = thrown instanceof AggregateError ? thrown.errors : [thrown]
  const code = (first as NodeJS.ErrnoException | undefined)?.code
  if (code !== undefined && REASONS.has(code)) return REASONS.get(code)!
  if (code?.includes('CERT') || code?.startsWith('ERR_TLS')) return `The certificate cannot be trusted (${code}).`
  return `The call failed (${code ?? 'unknown reason'}).`
}

const CUT_OFF = 'The connection was cut off before there was an answer.'

const REASONS: ReadonlyMap<string, string> = new Map([
  ['ECONNREFUSED', 'The connection was refused.'],
  ['ECONNRESET', CUT_OFF],
  ['EPIPE', CUT_OFF],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'The certificate cannot be trusted (UNABLE_TO_VERIFY_LEAF_SIGNATURE).'],
])
