import { type Clock, systemClock } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'

export interface PostgresStoreOptions {
  /** postgres://user:password@host:port/database; TLS by parameters as in `?sslmode=verify-full&sslrootcert=FILE`. */
  readonly url: string
  /** Where its tables are; made when it is missing. Default 'forebay'. */
  readonly schema?: string
  /** Connections of this process at most. Default 10. */
  readonly connectionsMax?: number
  /** For timers: all moments that are kept are told by the server's clock. */
  readonly clock?: Clock
  /** How long a result is kept after the task ended, in ms. Give it the retention of the results topic. */
  readonly retentionMs: number
  /** How long what is known of an unfinished task is kept after its last note, in ms. Default 7 days. */
  readonly notesRetentionMs?: number
  /**
   * How long a reservation counts as being appended right now, in ms, by whoever has not renewed it since: a gateway that
   * lives does so every 1,500 ms. Default 5,000.
   */
  readonly claimMs?: number
  /** How often old rows are looked for, in ms. Default 5,000: each process that is connected looks. */
  readonly sweepIntervalMs?: number
  /** How long `open` waits for a server that does not answer, in ms. Default 10,000. */
  readonly openTimeoutMs?: number
  /** Stands in for the server's clock, ms since 1970: for tests that move time. */
  readonly serverNowMs?: () => number
}

export type ResolvedPostgresStore = Readonly<Required<Omit<PostgresStoreOptions, 'serverNowMs'>>> & {
  /** Null: the server's own. */
  readonly serverNowMs: (() => number) | null
}

export function resolvePostgresStore(given: PostgresStoreOptions): ResolvedPostgresStore {
  const schema = given.schema ?? SCHEMA_DEFAULT
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(schema)) {
    const rule = 'Use up to 63 lower-case letters, digits and _, and begin with a letter or _.'
    throw new ForebayError('CONFIG_INVALID', `schema: '${schema}' is no name for a schema. ${rule}`)
  }
  return Object.freeze({
    url: given.url,
    schema,
    connectionsMax: positive('connectionsMax', given.connectionsMax ?? CONNECTIONS_MAX_DEFAULT),
    clock: given.clock ?? systemClock,
    retentionMs: positive('retentionMs', given.retentionMs),
    notesRetentionMs: positive('notesRetentionMs', given.notesRetentionMs ?? NOTES_RETENTION_MS_DEFAULT),
    claimMs: positive('claimMs', given.claimMs ?? CLAIM_MS_DEFAULT),
    sweepIntervalMs: positive('sweepIntervalMs', given.sweepIntervalMs ?? SWEEP_INTERVAL_MS_DEFAULT),
    openTimeoutMs: positive('openTimeoutMs', given.openTimeoutMs ?? OPEN_TIMEOUT_MS_DEFAULT),
    serverNowMs: given.serverNowMs ?? null,
  })
}

export const SCHEMA_DEFAULT = 'forebay'
export const CONNECTIONS_MAX_DEFAULT = 10
export const NOTES_RETENTION_MS_DEFAULT = 7 * 24 * 3600 * 1000
export const CLAIM_MS_DEFAULT = 5_000
export const SWEEP_INTERVAL_MS_DEFAULT = 5_000
export const OPEN_TIMEOUT_MS_DEFAULT = 10_000

function positive(field: string, value: number): number {
  if (Number.isSafeInteger(value) && value > 0) return value
  throw new ForebayError('CONFIG_INVALID', `${field}: ${value} is not a whole number above 0.`)
}
