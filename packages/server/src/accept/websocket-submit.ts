import type { Clock } from '@forebay/broker'
import { type ForebayError, memberText } from '@forebay/protocol'
import { isMediaType } from '../media-type.ts'
import { OCTET_STREAM } from '../records.ts'
import { PRIORITY_DEFAULT, PRIORITY_MAX } from '../task.ts'
import type { AcceptingQueue, AcceptingQueues } from './accepting-queue.ts'
import type { Admission } from './admission.ts'
import { readTiming } from './http-timing.ts'
import { idempotencyKeyFor } from './idempotency.ts'
import type { Kept, Submit } from './submit.ts'
import { submitMessage } from './submit-message.ts'
import type { TimingNames } from './timing.ts'
import { traceHeaders } from './trace-context.ts'
import { badMessage, type SubmitFields } from './websocket-messages.ts'

export interface WebSocketSubmitParts {
  readonly queues: AcceptingQueues
  readonly admission: Admission
  readonly submit: Submit
  readonly retentionMs: number
  readonly delays: boolean
  readonly clock: Clock
}

export interface WebSocketKept {
  readonly queue: AcceptingQueue
  readonly kept: Kept
}

/** `header`: of the request that opened the connection. */
export type WebSocketAccept = (
  message: SubmitFields & { readonly text: string },
  owner: string,
  header: (name: string) => string | undefined,
) => Promise<WebSocketKept>

/** Checks one message and keeps its task, by the same road and the same checks as the other doors. */
export function createWebSocketAccept(parts: WebSocketSubmitParts): WebSocketAccept {
  const { queues } = parts
  return async (message, owner, header) => {
    const queue = queues.find(message.queue)
    const { payload, contentType } = bodyOf(message)
    const kept = await submitMessage(parts, {
      queue,
      owner,
      key: message.key ?? null,
      payload,
      contentType,
      trace: traceHeaders(message.traceparent, message.tracestate),
      header,
      timing: readTiming(message, parts, NAMES),
      priority: priorityOf(message.priority),
      idempotencyKey: idempotencyKeyFor(queue.options, message.idempotencyKey),
      waitMs: 0,
      callback: message.callback ?? null,
    })
    return { queue, kept }
  }
}

const NAMES: TimingNames = { delay: 'delay', notBefore: 'notBefore', deadline: 'deadline', refuse: badField }

function badField(field: string, message: string): ForebayError {
  return badMessage(message, field)
}

function bodyOf(message: SubmitFields & { readonly text: string }): { payload: Buffer; contentType: string } {
  const { contentType } = message
  if (contentType !== undefined && !isMediaType(contentType)) {
    throw badMessage('"contentType" is not a media type; send one like "application/json".', 'contentType')
  }
  if (message.hasBody) {
    return { payload: Buffer.from(memberText(message.text, 'body')!), contentType: contentType ?? 'application/json' }
  }
  if (message.bodyText !== undefined) {
    if (!message.bodyText.isWellFormed()) throw badMessage('"text" is not well-formed Unicode.', 'text')
    return { payload: Buffer.from(message.bodyText), contentType: contentType ?? 'text/plain; charset=utf-8' }
  }
  const { base64 = '' } = message
  if (base64.length % 4 !== 0 || !BASE64.test(base64)) throw badMessage('"base64" is not base64.', 'base64')
  return { payload: Buffer.from(base64, 'base64'), contentType: contentType ?? OCTET_STREAM }
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/

function priorityOf(given: number | undefined): number {
  if (given === undefined) return PRIORITY_DEFAULT
  if (Number.isInteger(given) && given >= 0 && given <= PRIORITY_MAX) return given
  throw badMessage(`"priority" is ${given}; it must be a whole number from 0 to ${PRIORITY_MAX}.`, 'priority')
}
