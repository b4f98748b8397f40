import { type Failure, FailureKind, type Success, type Outcome as WireOutcome } from '@forebay/protocol'
import { isMediaType, MEDIA_TYPE_DEFAULT } from '../media-type.ts'
import type { Outcome } from '../task.ts'
import { cutText, MESSAGE_BYTES_MAX } from './cut-text.ts'
import { RETRY_AFTER_MAX_MS } from './limits.ts'

/** What a worker said of an attempt, in this server's words. Nothing a worker sends can make it throw. */
export function outcomeOf(wire: WireOutcome, worker: string, resultBytesMax: number): Outcome {
  switch (wire.end.case) {
    case 'success':
      return succeeded(wire.end.value, worker, resultBytesMax)
    case 'failure':
      return failed(wire.end.value, worker)
    default:
      return protocolFault('The outcome is neither a success nor a failure.', worker)
  }
}

function succeeded(success: Success, worker: string, resultBytesMax: number): Outcome {
  const { payload } = success
  if (payload.byteLength > resultBytesMax) return resultTooLarge(payload.byteLength, resultBytesMax, worker)
  const contentType = success.contentType === '' ? MEDIA_TYPE_DEFAULT : success.contentType
  if (!isMediaType(contentType)) {
    const shown = JSON.stringify(cutText(contentType, 64))
    return protocolFault(`The content type ${shown} of the result is not a media type.`, worker)
  }
  return { kind: 'succeeded', payload, contentType }
}

function failed(failure: Failure, worker: string): Outcome {
  const message = cutText(failure.message, MESSAGE_BYTES_MAX) || 'The worker gave no reason.'
  switch (failure.kind) {
    case FailureKind.FINAL:
      return { kind: 'failed', code: 'WORKER_REFUSED', message, then: 'final', worker }
    case FailureKind.DEAD:
      return { kind: 'failed', code: 'WORKER_FAILED', message, then: 'dead', worker }
    default: {
      const retry = { kind: 'failed', code: 'WORKER_FAILED', message, then: 'retry', worker } as const
      if (failure.retryAfterMs === 0) return retry
      return { ...retry, retryAfterMs: Math.min(failure.retryAfterMs, RETRY_AFTER_MAX_MS) }
    }
  }
}

/** No attempt will make it smaller for sure, and the work may have been done: an operator should see it. `bytes`: null when not counted to the end. */
export function resultTooLarge(bytes: number | null, bytesMax: number, worker: string): Outcome {
  const message =
    bytes === null
      ? `The result has more than the ${bytesMax} bytes that are allowed.`
      : `The result has ${bytes} bytes; at most ${bytesMax} are allowed.`
  return { kind: 'failed', code: 'RESULT_TOO_LARGE', message, then: 'dead', worker }
}

export function protocolFault(message: string, worker: string): Outcome {
  return { kind: 'failed', code: 'WORKER_PROTOCOL', message, then: 'retry', worker }
}
