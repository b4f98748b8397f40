import { type Clock, systemClock } from '@forebay/broker'

export interface S3BlobsOptions {
  readonly bucket: string
  /** Before each key; ends in '/' or is empty. */
  readonly prefix: string
  readonly region: string
  /** Of an S3-compatible server, which is then asked by path; null for AWS's own. */
  readonly endpoint: string | null
  /** Null: as AWS's SDK finds them (environment, files, the machine's role). */
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string } | null
  /** How long a blob can be got after it was put last. ms */
  readonly keepMs: number
  /** Longest put, get, pin or unpin, with its retries; then BLOB_UNAVAILABLE. Default 12 s. ms */
  readonly timeoutMs?: number
  readonly clock?: Clock
}

export type ResolvedS3Blobs = Required<S3BlobsOptions>

export function resolveS3Blobs(given: S3BlobsOptions): ResolvedS3Blobs {
  return { timeoutMs: TIMEOUT_MS_DEFAULT, clock: systemClock, ...given }
}

/** With an append (30 s at the longest) it fits into the time that a claim of an idempotency key is held. */
const TIMEOUT_MS_DEFAULT = 12_000
