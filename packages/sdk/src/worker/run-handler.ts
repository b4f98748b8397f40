import { FailureKind, type Outcome } from '@forebay/protocol'
import { BYTES_TYPE, encodeBody } from '../body.ts'
import { DeadError, FinalError, RetryError } from './errors.ts'
import { isAsyncIterable, runIterable } from './run-iterable.ts'
import type { Handler, Run } from './task.ts'

export type End = NonNullable<Outcome['end']>

/** How a run ended; `error` is what the handler threw or what was wrong with what it returned. */
export interface Ended {
  readonly end: End
  readonly error?: unknown
}

/** Never rejects: whatever a handler does becomes an end. `resultBytesMax` 0 means that the server named none. */
export async function runHandler(handler: Handler, run: Run, resultBytesMax: number): Promise<Ended> {
  let returned: unknown
  try {
    returned = await handler(run.task, run)
    if (isAsyncIterable(returned)) returned = await runIterable(returned, run, resultBytesMax)
    const unsent = run.allSent()
    if (unsent !== null) await unsent
  } catch (thrown) {
    return { end: endOfThrown(thrown), error: thrown }
  }
  try {
    return { end: endOfReturned(returned, resultBytesMax) }
  } catch (unsendable) {
    return { end: failure(`The handler's result: ${messageOf(unsendable)}`, FailureKind.DEAD), error: unsendable }
  }
}

export function failure(message: string, kind: FailureKind, retryAfterMs = 0): End {
  return {
    case: 'failure',
    value: {
      $typeName: 'forebay.worker.v1.Failure',
      message: cut(message),
      kind,
      retryAfterMs: clampUint32(retryAfterMs),
    },
  }
}

function endOfReturned(returned: unknown, resultBytesMax: number): End {
  const { bytes, contentType } = encodeBody(returned)
  if (resultBytesMax > 0 && bytes.length > resultBytesMax) {
    throw new RangeError(`it has ${bytes.length} bytes, the server takes at most ${resultBytesMax}.`)
  }
  return {
    case: 'success',
    value: {
      $typeName: 'forebay.worker.v1.Success',
      payload: bytes,
      // Bytes are what the server takes an unnamed type for.
      contentType: contentType === BYTES_TYPE ? '' : contentType,
    },
  }
}

function endOfThrown(thrown: unknown): End {
  if (thrown instanceof FinalError) return failure(messageOf(thrown), FailureKind.FINAL)
  if (thrown instanceof DeadError) return failure(messageOf(thrown), FailureKind.DEAD)
  const afterMs = thrown instanceof RetryError ? thrown.afterMs : 0
  return failure(messageOf(thrown), FailureKind.RETRYABLE, afterMs)
}

function messageOf(thrown: unknown): string {
  try {
    if (thrown instanceof Error) return thrown.message || thrown.name
    return `The handler threw ${typeof thrown === 'string' ? thrown : JSON.stringify(thrown)}`
  } catch {
    return 'The handler threw something that cannot be shown.'
  }
}

/** The server keeps 4,096 bytes; no need to send it a stack of megabytes. */
function cut(message: string): string {
  return message.length <= MESSAGE_CHARS_MAX
    ? message.toWellFormed()
    : message.slice(0, MESSAGE_CHARS_MAX).toWellFormed()
}

const MESSAGE_CHARS_MAX = 4_096

function clampUint32(ms: number): number {
  return ms > 0 ? Math.min(Math.ceil(ms), 2 ** 32 - 1) : 0
}
