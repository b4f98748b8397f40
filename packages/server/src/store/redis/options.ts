import { type Clock, systemClock } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'

export interface RedisStoreOptions {
  /** redis://user:password@host:port/number; rediss:// for TLS. */
  readonly url: string
  /** Stands before each of its keys. Default 'forebay:'. */
  readonly prefix?: string
  /** For waiting at the start: all moments that are kept are told by the server's clock. */
  readonly clock?: Clock
  /** How long a result is kept after it was stored, in ms. Give it the retention of the results topic. */
  readonly retentionMs: number
  /** How long what is known of an unfinished task is kept after its last note, in ms. Default 7 days. */
  readonly notesRetentionMs?: number
  /**
   * How long a reservation counts as being appended right now, in ms, by whoever has not renewed it since: a gateway that
   * lives does so every 1,500 ms. Default 5,000.
   */
  readonly claimMs?: number
  /** How long `open` waits for a server that does not answer, in ms. Default 10,000. */
  readonly openTimeoutMs?: number
  /** Stands in for the server's clock, ms since 1970: for tests that move time. Keys expire by the server's own. */
  readonly serverNowMs?: () => number
}

export type ResolvedRedisStore = Readonly<Required<Omit<RedisStoreOptions, 'serverNowMs'>>> & {
  /** Null: the server's own. */
  readonly serverNowMs: (() => number) | null
}

export function resolveRedisStore(given: RedisStoreOptions): ResolvedRedisStore {
  return Object.freeze({
    url: given.url,
    prefix: given.prefix ?? PREFIX_DEFAULT,
    clock: given.clock ?? systemClock,
    retentionMs: positive('retentionMs', given.retentionMs),
    notesRetentionMs: positive('notesRetentionMs', given.notesRetentionMs ?? NOTES_RETENTION_MS_DEFAULT),
    claimMs: positive('claimMs', given.claimMs ?? CLAIM_MS_DEFAULT),
    openTimeoutMs: positive('openTimeoutMs', given.openTimeoutMs ?? OPEN_TIMEOUT_MS_DEFAULT),
    serverNowMs: given.serverNowMs ?? null,
  })
}

export const PREFIX_DEFAULT = 'forebay:'
export const NOTES_RETENTION_MS_DEFAULT = 7 * 24 * 3600 * 1000
export const CLAIM_MS_DEFAULT = 5_000
export const OPEN_TIMEOUT_MS_DEFAULT = 10_000

function positive(field: string, value: number): number {
  if (Number.isSafeInteger(value) && value > 0) return value
  throw new ForebayError('CONFIG_INVALID', `${field}: ${value} is not a whole number above 0.`)
}
