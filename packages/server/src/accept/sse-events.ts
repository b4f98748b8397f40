import { bodyData, RESULT_BESIDE_TASK_BYTES_MAX } from '../body-text.ts'
import type { WatchEvent } from '../reply/replies.ts'
import { taskBody } from './http-answers.ts'
import type { TaskIdParts } from './task-id.ts'
import { positionAfter } from './watching.ts'

/** Written while nothing happens, so that proxies and readers know that the stream lives. */
export const HEARTBEAT = ':\n\n'

/** How long a reader waits before it comes back. */
export function retryLine(ms: number): string {
  return `retry: ${ms}\n\n`
}

/**
 * Events in the words of `text/event-stream`. What many follow at once is put into words once, as long as they are told
 * of it together.
 */
export class SseWords {
  readonly #told = new WeakMap<object, string>()

  of(id: TaskIdParts, event: WatchEvent): string {
    if (event.kind !== 'output') return block(event, dataOf(id, event))
    const told = this.#told.get(event.content)
    if (told !== undefined) return told
    const words = block(event, dataOf(id, event))
    this.#told.set(event.content, words)
    return words
  }
}

function block(event: WatchEvent, data: string): string {
  const position = positionAfter(event)
  return `${position === '' ? '' : `id: ${position}\n`}event: ${nameOf(event)}\ndata: ${data}\n\n`
}

export function nameOf(event: WatchEvent): string {
  if (event.kind === 'output') return event.content.kind
  return event.kind === 'end' ? 'result' : event.kind
}

/** A JSON object with at least one member. */
export function dataOf(id: TaskIdParts, event: WatchEvent): string {
  if (event.kind === 'output') return JSON.stringify(outputData(event))
  if (event.kind === 'restart') return JSON.stringify({ attempt: event.attempts, generation: event.generation })
  const task = taskBody({ id, view: event.view })
  if (event.kind === 'state' || event.view.state !== 'succeeded') return JSON.stringify(task)
  const { payload, contentType, blob } = event.view
  if (payload === null || blob !== undefined || payload.length > RESULT_BESIDE_TASK_BYTES_MAX)
    return JSON.stringify(task)
  return JSON.stringify({ ...task, result: { contentType, ...bodyData(payload) } })
}

function outputData({ attempts, chunks, content }: Extract<WatchEvent, { readonly kind: 'output' }>): object {
  if (content.kind === 'progress') return { attempt: attempts, fraction: content.fraction, message: content.message }
  return { attempt: attempts, chunk: chunks, contentType: content.contentType, ...bodyData(content.payload) }
}
