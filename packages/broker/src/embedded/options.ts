import { ForebayError } from '@forebay/protocol/errors'
import { type Clock, systemClock } from '../clock.ts'
import { type Random, systemRandom } from '../random.ts'

export interface EmbeddedBrokerOptions {
  /** The folder of this log; made when it is missing. One process at a time may own it. */
  readonly dir: string
  readonly clock?: Clock
  readonly random?: Random
  /** How long `publish` tries, in ms. Default 30,000. */
  readonly publishTimeoutMs?: number
  /** Longest time from settling to its being stored, in ms. Default 200; less means fewer repeats after a crash. */
  readonly commitIntervalMs?: number
  /** Largest record in bytes of key, value and headers. Default 8 MiB. */
  readonly recordBytesMax?: number
  /**
   * Bytes of records from which on the oldest are removed even though they are younger than their topic's
   * `retentionMs`. Records that a group has not finished stay, and so do topics kept for ever. Default 4 GiB.
   */
  readonly retentionBytes?: number
  /** Largest size of the file in bytes; what does not fit is refused. Default 16 GiB. */
  readonly bytesMax?: number
  /** How often old records are looked for, in ms. Default 10,000. */
  readonly retentionIntervalMs?: number
}

export type ResolvedEmbedded = Readonly<Required<EmbeddedBrokerOptions>>

export function resolveEmbedded(given: EmbeddedBrokerOptions): ResolvedEmbedded {
  if (given.dir === '') throw new ForebayError('CONFIG_INVALID', 'dir: is empty; name the folder for the log.')
  const resolved = {
    dir: given.dir,
    clock: given.clock ?? systemClock,
    random: given.random ?? systemRandom,
    publishTimeoutMs: positive('publishTimeoutMs', given.publishTimeoutMs, 30_000),
    commitIntervalMs: positive('commitIntervalMs', given.commitIntervalMs, 200),
    recordBytesMax: positive('recordBytesMax', given.recordBytesMax, 8 * MEBIBYTE),
    retentionBytes: positive('retentionBytes', given.retentionBytes, 4096 * MEBIBYTE),
    bytesMax: positive('bytesMax', given.bytesMax, 16_384 * MEBIBYTE),
    retentionIntervalMs: positive('retentionIntervalMs', given.retentionIntervalMs, 10_000),
  }
  if (resolved.recordBytesMax > RECORD_BYTES_CEILING) {
    throw new ForebayError(
      'CONFIG_INVALID',
      `recordBytesMax: ${resolved.recordBytesMax} is more than ${RECORD_BYTES_CEILING}; keep larger things elsewhere and publish where they are.`,
    )
  }
  return Object.freeze(resolved)
}

export const MEBIBYTE = 1024 * 1024

/** A batch holds at least one record, and SQLite's largest value is 1,000,000,000 bytes. */
const RECORD_BYTES_CEILING = 256 * MEBIBYTE

function positive(field: string, value: number | undefined, byDefault: number): number {
  if (value === undefined) return byDefault
  if (Number.isSafeInteger(value) && value > 0) return value
  throw new ForebayError('CONFIG_INVALID', `${field}: ${value} is not a whole number above 0.`)
}
