import type { Clock } from '@forebay/broker'
import type { SubmitRequest } from '@forebay/protocol'
import type { Metadata } from '@grpc/grpc-js'
import { isMediaType } from '../media-type.ts'
import { OCTET_STREAM } from '../records.ts'
import type { AcceptingQueue, AcceptingQueues } from './accepting-queue.ts'
import type { Admission } from './admission.ts'
import { badField, durationMs, momentMs, onlyText, readPriority, TIMING_FIELDS } from './grpc-fields.ts'
import { idempotencyKeyFor } from './idempotency.ts'
import type { Kept, Submit } from './submit.ts'
import { submitMessage } from './submit-message.ts'
import { AT_ONCE, checkTiming, type Timing } from './timing.ts'
import { traceHeaders } from './trace-context.ts'

export interface GrpcAcceptParts {
  readonly queues: AcceptingQueues
  readonly admission: Admission
  readonly submit: Submit
  /** Longest `deadline` of a task, from the end of its delay. ms */
  readonly retentionMs: number
  /** Whether there is a place where delayed tasks can wait. */
  readonly delays: boolean
  readonly clock: Clock
}

export interface GrpcKept {
  readonly queue: AcceptingQueue
  readonly kept: Kept
}

/** Checks one SubmitRequest of whoever `owner` is and keeps its task; `waitMs` is for the caller to bound. */
export type GrpcAccept = (
  request: SubmitRequest,
  metadata: Metadata,
  owner: string,
  waitMs: number,
) => Promise<GrpcKept>

export function createGrpcAccept(parts: GrpcAcceptParts): GrpcAccept {
  const { queues, clock } = parts
  return async (request, metadata, owner, waitMs) => {
    const queue = queues.find(request.queue)
    const contentType = request.contentType === '' ? OCTET_STREAM : request.contentType
    if (!isMediaType(contentType)) {
      throw badField('content_type', 'content_type is not a media type; send one like "application/json".')
    }
    const header = (name: string) => onlyText(metadata, name)
    const kept = await submitMessage(parts, {
      queue,
      owner,
      key: request.key ?? null,
      payload: request.payload,
      contentType,
      trace: traceHeaders(header('traceparent'), header('tracestate')),
      header,
      timing: readTiming(request),
      priority: readPriority(request.priority),
      idempotencyKey: idempotencyKeyFor(queue.options, request.idempotencyKey),
      waitMs,
      callback: request.callback === '' ? null : request.callback,
    })
    return { queue, kept }
  }

  function readTiming({ delay, notBefore, deadline }: SubmitRequest): Timing {
    if (delay === undefined && notBefore === undefined && deadline === undefined) return AT_ONCE
    const asked = {
      delayMs: delay === undefined ? undefined : durationMs(delay, 'delay'),
      notBeforeMs: notBefore === undefined ? undefined : momentMs(notBefore),
      deadlineMs: deadline === undefined ? undefined : durationMs(deadline, 'deadline'),
    }
    const { delays, retentionMs } = parts
    return checkTiming(asked, { delays, retentionMs, nowMs: clock.wallMs() }, TIMING_FIELDS)
  }
}
