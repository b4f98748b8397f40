import { ForebayError } from '@forebay/protocol'
import type { BlobRef } from '../task.ts'

export function blobMissing(ref: BlobRef): ForebayError {
  return new ForebayError(
    'BLOB_MISSING',
    `The ${ref.bytes} bytes kept outside the log under SHA-256 ${ref.sha256} are not there any more.`,
    { members: { sha256: ref.sha256 } },
  )
}

export function blobDamaged(ref: BlobRef): ForebayError {
  return new ForebayError(
    'BLOB_MISSING',
    `The ${ref.bytes} bytes kept outside the log under SHA-256 ${ref.sha256} are damaged: what is there has another digest.`,
    { members: { sha256: ref.sha256 } },
  )
}

/** `place` as operators know it, a folder or an address, is for the log: callers learn only that it does not work. */
export function blobUnavailable(place: string, cause: unknown): ForebayError {
  const why = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause)
  return new ForebayError('BLOB_UNAVAILABLE', 'What is too large for the log cannot be kept or read right now.', {
    cause: new Error(`${place}: ${why}`, { cause }),
    retryAfterS: 1,
  })
}

export function blobsClosed(): ForebayError {
  return new ForebayError('CLOSED', 'The store of blobs is closed, or not open yet.')
}

/** A record names a blob, and this process has no place to look for it. */
export function blobsNotConfigured(ref: BlobRef): ForebayError {
  return new ForebayError(
    'BLOB_MISSING',
    `The record names ${ref.bytes} bytes kept outside the log, and this process knows no place for them: set \`blobs.place\` to the one that the gateways use.`,
    { members: { sha256: ref.sha256 } },
  )
}
