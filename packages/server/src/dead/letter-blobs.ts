import type { LogRecord } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import type { BlobStore } from '../blobs/blob-store.ts'
import { bodyKeptMs } from '../blobs/keep-times.ts'
import { parseBlobRef, text } from '../records.ts'
import type { BlobRef } from '../task.ts'

/**
 * Bodies of dead letters that lie outside the log. Letters are kept for ever and blobs are not, so a letter pins its
 * body before it is published, under the place where its record was found; whoever closes the letter takes the pin
 * out. A crash in between leaves a pin too many, which costs space and nothing else.
 */

/** The body that a record names instead of holding it; null when it holds it itself. */
export function blobOf({ value, headers }: Pick<LogRecord, 'value' | 'headers'>): BlobRef | null {
  if (value === null || value.length > 0) return null
  const named = headers.findLast(([name]) => name === 'fb-blob')
  return named === undefined ? null : parseBlobRef(text(named[1]))
}

/** A body that is gone is no reason to lose the rest of the letter. Throws BLOB_UNAVAILABLE. */
export async function pinBody(blobs: BlobStore, record: LogRecord): Promise<void> {
  const ref = blobOf(record)
  if (ref === null) return
  try {
    await blobs.pin(ref, pinName(record))
  } catch (thrown) {
    if (!isMissing(thrown)) throw thrown
  }
}

/** For a letter that has its verdict; best effort. */
export async function unpinBody(blobs: BlobStore | null, original: LogRecord): Promise<void> {
  const ref = blobOf(original)
  if (ref === null || blobs === null) return
  await blobs.unpin(ref, pinName(original)).catch(() => {})
}

/**
 * Makes sure that the body is there for the task's next life, from now until `budgetMs` have passed. False when it is
 * not there any more, or there is no place to look for it. Throws BLOB_UNAVAILABLE.
 */
export async function bringBackBody(blobs: BlobStore | null, original: LogRecord, budgetMs: number): Promise<boolean> {
  const ref = blobOf(original)
  if (ref === null) return true
  if (blobs === null) return false
  try {
    await blobs.put(await blobs.get(ref), bodyKeptMs({ budgetMs }))
    return true
  } catch (thrown) {
    if (isMissing(thrown)) return false
    throw thrown
  }
}

function pinName({ topic, partition, offset }: LogRecord): string {
  return `${topic}:${partition}:${offset}`
}

function isMissing(thrown: unknown): boolean {
  return thrown instanceof ForebayError && thrown.code === 'BLOB_MISSING'
}
