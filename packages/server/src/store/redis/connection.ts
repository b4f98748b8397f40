import { createHash } from 'node:crypto'
import { type Backoff, backoffMs, systemRandom } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import { createClient, RESP_TYPES } from '@redis/client'
import type { ResolvedRedisStore } from './options.ts'

/** A script and the name by which the server remembers it. */
export interface Script {
  readonly text: string
  readonly sha1: string
}

export function script(text: string): Script {
  return { text, sha1: createHash('sha1').update(text).digest('hex') }
}

export type Argument = string | Buffer
/** Texts come as bytes. */
export type Reply = Buffer | number | null | readonly Reply[]

/**
 * One connection to one Redis; what is asked at once travels at once. While it is away every call is refused at once, and
 * one that was under way within `SILENCE_MS`: whether it was carried out is then unknown.
 */
export class Connection {
  /** 'host:port', as errors name it. */
  readonly address: string
  readonly #client: ReturnType<typeof makeClient>

  constructor({ url, clock, openTimeoutMs }: ResolvedRedisStore) {
    this.address = addressOf(url)
    const begunMs = clock.monotonicMs()
    let opened = false
    this.#client = makeClient(url, (retries, cause) => {
      const hopeless = REFUSED.test(cause.message) || clock.monotonicMs() - begunMs > openTimeoutMs
      return !opened && hopeless ? false : backoffMs(RECONNECT, retries, systemRandom)
    })
    this.#client.on('ready', () => {
      opened = true
    })
    // It connects again by itself; whoever asks meanwhile is told.
    this.#client.on('error', () => {})
  }

  /** Throws STORE_UNAVAILABLE, and CONFIG_INVALID for what waiting will not mend. */
  async open(): Promise<void> {
    try {
      await this.#client.connect()
    } catch (error) {
      this.destroy()
      const { message } = error as Error
      if (!REFUSED.test(message)) throw this.#unavailable(error)
      const fix = 'mend user, password or number of the database.'
      throw new ForebayError('CONFIG_INVALID', `Redis at ${this.address} does not let Forebay in (${message}); ${fix}`)
    }
  }

  async ask(...command: readonly Argument[]): Promise<Reply> {
    try {
      return (await this.#client.sendCommand([...command])) as unknown as Reply
    } catch (error) {
      throw this.#unavailable(error)
    }
  }

  /** Runs a script, whole or not at all as far as other clients see. */
  async run({ text, sha1 }: Script, keys: readonly string[], values: readonly Argument[]): Promise<Reply> {
    const rest = [String(keys.length), ...keys, ...values]
    try {
      return (await this.#client.sendCommand(['EVALSHA', sha1, ...rest])) as unknown as Reply
    } catch (error) {
      // The server has begun anew, or never heard of it.
      if (error instanceof Error && error.message.startsWith('NOSCRIPT')) return this.ask('EVAL', text, ...rest)
      throw this.#unavailable(error)
    }
  }

  /** Waits for what was asked. */
  async close(): Promise<void> {
    if (!this.#client.isOpen) return
    if (this.#client.isReady) await this.#client.close()
    else this.destroy()
  }

  destroy(): void {
    if (this.#client.isOpen) this.#client.destroy()
  }

  #unavailable(error: unknown): ForebayError {
    const reason = error instanceof Error ? error.message || String((error as { code?: string }).code) : String(error)
    const text = `Redis at ${this.address} cannot be used now (${reason}).`
    const { address } = this
    return new ForebayError('STORE_UNAVAILABLE', text, {
      cause: error,
      members: { address },
      retryAfterS: RETRY_AFTER_S,
    })
  }
}

/** Longest silence of a server that is there; it is asked for a sign of life in between. */
export const SILENCE_MS = 6_000
const PING_MS = 2_000
const CONNECT_TIMEOUT_MS = 5_000
const RECONNECT: Backoff = { firstMs: 50, maxMs: 1_000 }
const RETRY_AFTER_S = 1
const REFUSED = /^(WRONGPASS|NOAUTH|NOPERM|ERR (invalid DB|DB index|AUTH))/
const REDIS_PORT = 6379

function makeClient(url: string, reconnectStrategy: (retries: number, cause: Error) => number | false) {
  return createClient({
    url,
    name: 'forebay',
    RESP: 2,
    disableOfflineQueue: true,
    pingInterval: PING_MS,
    socket: { connectTimeout: CONNECT_TIMEOUT_MS, socketTimeout: SILENCE_MS, reconnectStrategy },
  }).withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer, [RESP_TYPES.SIMPLE_STRING]: Buffer })
}

function addressOf(url: string): string {
  try {
    const { hostname, port } = new URL(url)
    return `${hostname}:${port || REDIS_PORT}`
  } catch {
    throw new ForebayError('CONFIG_INVALID', 'url: is not of the form redis://user:password@host:port/number.')
  }
}
