import type { Clock } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import { blobsNotConfigured } from '../blobs/blob-errors.ts'
import type { BlobStore } from '../blobs/blob-store.ts'
import { BytesGate } from '../blobs/bytes-gate.ts'
import type { TaskView } from '../reply/replies.ts'

/**
 * Fetches answers that are kept outside the log, for every door. At most `READ_BYTES_MAX` of them are in memory at
 * once; who asks for more waits in line.
 */
export interface LargeAnswers {
  /**
   * The view with its payload; call `free` when the answer has left. Throws BLOB_UNAVAILABLE, OVERLOADED, BLOB_MISSING,
   * or TASK_GONE where that is no wonder; the signal's reason when it aborts while waiting in line.
   */
  whole(view: TaskView, signal: AbortSignal): Promise<WholeAnswer>
}

export interface WholeAnswer {
  readonly view: TaskView
  free(): void
}

/** Bytes of large answers on their way to callers. */
export const READ_BYTES_MAX = 128 * 1024 * 1024
/** Callers who wait for room. */
export const READERS_WAITING_MAX = 1_000

export interface LargeAnswersParts {
  /** Null where none are configured. */
  readonly blobs: BlobStore | null
  readonly retentionMs: number
  readonly clock: Clock
}

export function createLargeAnswers({ blobs, retentionMs, clock }: LargeAnswersParts): LargeAnswers {
  const gate = new BytesGate(READ_BYTES_MAX, READERS_WAITING_MAX)
  return {
    async whole(view, signal) {
      const { blob } = view
      if (blob === undefined) return { view, free: nothing }
      if (blobs === null) throw blobsNotConfigured(blob)
      const free = await gate.enter(blob.bytes, signal)
      try {
        return { view: { ...view, payload: await blobs.get(blob) }, free }
      } catch (thrown) {
        free()
        throw isMissing(thrown) && clock.wallMs() - view.finishedAtMs! > retentionMs ? gone() : thrown
      }
    },
  }
}

function nothing(): void {}

function isMissing(thrown: unknown): boolean {
  return thrown instanceof ForebayError && thrown.code === 'BLOB_MISSING'
}

function gone(): ForebayError {
  return new ForebayError('TASK_GONE', 'This task ended longer ago than results are kept.')
}
