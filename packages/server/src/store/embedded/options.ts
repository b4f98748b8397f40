import { type Clock, systemClock } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'

export interface EmbeddedStoreOptions {
  /** The folder of this store; made when it is missing. One process at a time may own it. */
  readonly dir: string
  readonly clock?: Clock
  /** How long a result is kept after the task ended, in ms. Give it the retention of the results topic. */
  readonly retentionMs: number
  /** How long what is known of an unfinished task is kept after its last note, in ms. Default 7 days. */
  readonly notesRetentionMs?: number
  /**
   * Size of the file in bytes from which on the oldest results go before their time; parked tasks count and never go.
   * Default 8 GiB.
   */
  readonly retentionBytes?: number
  /**
   * How long a reservation counts as being appended right now, in ms, where this process has not renewed it since; those of
   * an earlier run do not count. Default 45,000.
   */
  readonly claimMs?: number
  /** How often old rows are looked for, in ms. Default 1,000. */
  readonly sweepIntervalMs?: number
}

export type ResolvedEmbeddedStore = Readonly<Required<EmbeddedStoreOptions>>

export function resolveEmbeddedStore(given: EmbeddedStoreOptions): ResolvedEmbeddedStore {
  if (given.dir === '') throw new ForebayError('CONFIG_INVALID', 'dir: is empty; name the folder for the store.')
  return Object.freeze({
    dir: given.dir,
    clock: given.clock ?? systemClock,
    retentionMs: positive('retentionMs', given.retentionMs),
    notesRetentionMs: positive('notesRetentionMs', given.notesRetentionMs ?? NOTES_RETENTION_MS_DEFAULT),
    retentionBytes: positive('retentionBytes', given.retentionBytes ?? RETENTION_BYTES_DEFAULT),
    claimMs: positive('claimMs', given.claimMs ?? CLAIM_MS_DEFAULT),
    sweepIntervalMs: positive('sweepIntervalMs', given.sweepIntervalMs ?? SWEEP_INTERVAL_MS_DEFAULT),
  })
}

export const NOTES_RETENTION_MS_DEFAULT = 7 * 24 * 3600 * 1000
export const RETENTION_BYTES_DEFAULT = 8 * 1024 ** 3
export const CLAIM_MS_DEFAULT = 45_000
export const SWEEP_INTERVAL_MS_DEFAULT = 1_000

function positive(field: string, value: number): number {
  if (Number.isSafeInteger(value) && value > 0) return value
  throw new ForebayError('CONFIG_INVALID', `${field}: ${value} is not a whole number above 0.`)
}
