import { create } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import {
  ForebayError,
  type SubmitAndWaitRequest,
  type SubmitAndWaitResponse,
  SubmitAndWaitResponseSchema,
  type SubmitRequest,
  type SubmitResponse,
  SubmitResponseSchema,
} from '@forebay/protocol'
import { type Metadata, status } from '@grpc/grpc-js'
import type { TaskView } from '../reply/replies.ts'
import type { ClientGone } from './client-gone.ts'
import type { GrpcAccept, GrpcKept } from './grpc-accept.ts'
import { type CancellableCall, callerOf } from './grpc-calls.ts'
import { badField, durationMs } from './grpc-fields.ts'
import { resultOf, taskOf } from './grpc-messages.ts'
import { CallStatus, statusOf } from './grpc-status.ts'
import type { OpenWaits } from './open-waits.ts'
import { faultOf } from './task-view.ts'

/** One call as the methods below see it. */
export interface UnaryCall<Request> extends CancellableCall {
  readonly request: Request
  readonly metadata: Metadata
  readonly owner: string
  /** Until the call's own deadline, with a margin for the answer; Infinity without one. ms */
  readonly leftMs: number
}

export interface GrpcSubmitParts {
  readonly accept: GrpcAccept
  readonly waits: OpenWaits
  readonly waitMaxMs: number
  /** The view with its payload; throws when that cannot be fetched. */
  readonly fetchWhole: (call: CancellableCall, view: TaskView) => Promise<TaskView>
  readonly clientGone: ClientGone
}

export interface GrpcSubmit {
  submit(call: UnaryCall<SubmitRequest>): Promise<SubmitResponse>
  submitAndWait(call: UnaryCall<SubmitAndWaitRequest>): Promise<SubmitAndWaitResponse>
}

export function createGrpcSubmit(parts: GrpcSubmitParts): GrpcSubmit {
  const { accept, waits, waitMaxMs, fetchWhole, clientGone } = parts
  return {
    async submit(call) {
      const { request, metadata, owner, leftMs } = call
      const askedMs = request.wait === undefined ? 0 : durationMs(request.wait, 'wait')
      const kept = await accept(request, metadata, owner, Math.max(0, Math.min(askedMs, waitMaxMs, leftMs)))
      const ended = askedMs === 0 ? null : await endOf(call, kept)
      // That the task is kept is true, whatever comes of fetching its answer.
      return submitted(kept, ended === null ? null : await fetchWhole(call, ended).catch(() => null))
    },

    async submitAndWait(call) {
      const { request, metadata, owner, leftMs } = call
      const asked = submitOf(request.submit)
      const kept = await accept(asked, metadata, owner, leftMs === Number.POSITIVE_INFINITY ? waitMaxMs : leftMs)
      const ended = await endOf(call, kept)
      if (ended === null) throw notEnded(kept.kept.taskId)
      if (ended.state !== 'succeeded') throw faultOf(ended)
      const view = await fetchWhole(call, ended).catch((thrown: unknown) => {
        throw about(thrown, ended.taskId)
      })
      const { replayed } = kept.kept
      return create(SubmitAndWaitResponseSchema, { task: taskOf(named(kept), view), result: resultOf(view), replayed })
    },
  }

  /** Null when it has not ended while the caller was there. */
  async function endOf(call: UnaryCall<unknown>, { queue, kept }: GrpcKept): Promise<TaskView | null> {
    const ended = kept.wait === null ? null : await waits.during(callerOf(call), kept.wait)
    if (ended === null && call.cancelled) clientGone(queue, kept, call.owner)
    return ended
  }
}

/** What SubmitAndWait and SubmitStream wrap: a SubmitRequest that does not say how long to wait. */
export function submitOf(submit: SubmitRequest | undefined): SubmitRequest {
  if (submit === undefined) throw badField('submit', 'submit is missing.')
  if (submit.wait !== undefined) throw badField('wait', 'submit.wait must not be set here.')
  return submit
}

/** `view`: how the task ended, with its payload; null: it is kept. */
export function submitted(accepted: GrpcKept, view: TaskView | null): SubmitResponse {
  const { replayed, keyExpiresAtMs } = accepted.kept
  return create(SubmitResponseSchema, {
    task: taskOf(named(accepted), view),
    ...(view === null ? {} : { result: resultOf(view) }),
    replayed,
    ...(keyExpiresAtMs === null ? {} : { idempotencyExpiresAt: timestampFromMs(keyExpiresAtMs) }),
  })
}

function named({ queue, kept }: GrpcKept) {
  return { id: kept.taskId, queue: queue.options.name, acceptedAtMs: kept.acceptedAtMs }
}

/** DEADLINE_EXCEEDED whatever ended the wait: callers, and what stands between, make such a call again only with care. */
function notEnded(task: string): CallStatus {
  const detail =
    'The task is kept and has not ended yet; it goes on. Ask for it with Get or Watch, not by handing it in again.'
  const error = new ForebayError('RESULT_NOT_READY', detail, { members: { task } })
  return new CallStatus(error, statusOf(error, { code: status.DEADLINE_EXCEEDED, retry: false }))
}

/** Why the answer of a task that has ended cannot be had right now. */
function about(thrown: unknown, task: string): unknown {
  if (!(thrown instanceof ForebayError)) return thrown
  const { code, message, members, cause, retryAfterS } = thrown
  return new ForebayError(code, message, {
    members: { ...members, task },
    cause,
    ...(retryAfterS === undefined ? {} : { retryAfterS }),
  })
}
