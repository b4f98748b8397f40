import type { ProblemBody } from './errors.ts'
import { type BadEnd, isBadEnd, RequestError } from './errors.ts'
import { TaskResult } from './result.ts'
import type { SseFrame } from './sse-frames.ts'
import { statusOf, type TaskStatus } from './task-status.ts'

/**
 * What happens to a task. `position` is where to go on after the event: give it as `after` to another `watch`, here or in
 * another process, at whatever gateway.
 */
export type TaskEvent<Output = unknown> =
  /** First of all, unless the task has ended, and then whenever it changes before its end. */
  | { readonly kind: 'state'; readonly position: string; readonly status: TaskStatus }
  /** Another attempt begins to speak: the chunks and the progress before this are void. */
  | { readonly kind: 'restart'; readonly position: string; readonly attempt: number; readonly generation: number }
  | ChunkEvent
  | {
      readonly kind: 'progress'
      readonly position: string
      readonly attempt: number
      /** 0 to 1; null where nobody knows. */
      readonly fraction: number | null
      readonly message: string
    }
  /** The last one. */
  | {
      readonly kind: 'end'
      readonly position: string
      readonly status: TaskStatus
      /** Null unless the task succeeded, and where the result is larger than an event may be: `task.result()` brings it. */
      readonly result: TaskResult<Output> | null
    }

/** A piece of the answer of the attempt under way. */
export interface ChunkEvent {
  readonly kind: 'chunk'
  readonly position: string
  readonly attempt: number
  /** 1 for the attempt's first; grows by 1. */
  readonly number: number
  readonly contentType: string
  readonly bytes: Uint8Array
}

/** Null for events of a newer gateway that this client does not know. Throws a RequestError for what is none of a gateway's. */
export function taskEvent<Output>(id: string, frame: SseFrame, position: string): TaskEvent<Output> | null {
  const data = parse(frame)
  const attempt = Number(data.attempt)
  switch (frame.event) {
    case 'state':
      return { kind: 'state', position, status: statusOf(id, data) }
    case 'restart':
      return { kind: 'restart', position, attempt, generation: Number(data.generation ?? 0) }
    case 'chunk': {
      const chunk = { attempt, number: Number(data.chunk), contentType: String(data.contentType), bytes: bytesOf(data) }
      return { kind: 'chunk', position, ...chunk }
    }
    case 'progress': {
      const fraction = typeof data.fraction === 'number' ? data.fraction : null
      return { kind: 'progress', position, attempt, fraction, message: String(data.message ?? '') }
    }
    case 'result':
      return { kind: 'end', position, status: statusOf(id, data), result: resultOf(id, data) }
    default:
      return null
  }
}

/** How a task ended otherwise than well; null when it succeeded. */
export function badEnd({
  state,
  problem,
}: TaskStatus): { readonly state: BadEnd; readonly problem: ProblemBody } | null {
  return isBadEnd(state) ? { state, problem: problem ?? {} } : null
}

type Data = Readonly<Record<string, unknown>>

function parse({ event, data }: SseFrame): Data {
  try {
    const value: unknown = JSON.parse(data!)
    if (typeof value === 'object' && value !== null) return value as Data
  } catch {
    // Told below.
  }
  const message = `The event "${event.slice(0, 32)}" of the stream is not a gateway's JSON.`
  throw new RequestError('UNEXPECTED_ANSWER', message, { isRetryable: false })
}

function bytesOf({ text, base64 }: Data): Uint8Array {
  return typeof base64 === 'string' ? Buffer.from(base64, 'base64') : Buffer.from(String(text ?? ''), 'utf8')
}

function resultOf<Output>(id: string, { result }: Data): TaskResult<Output> | null {
  if (typeof result !== 'object' || result === null) return null
  const headers = new Headers({ 'content-type': String((result as Data).contentType) })
  return new TaskResult<Output>(id, { status: 200, headers, bytes: bytesOf(result as Data) })
}
