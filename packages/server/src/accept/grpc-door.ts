import { create, type DescMessage, type MessageShape } from '@bufbuild/protobuf'
import type { Clock } from '@forebay/broker'
import {
  type CancelRequest,
  CancelRequestSchema,
  type CancelResponse,
  CancelResponseSchema,
  ForebayError,
  type GetRequest,
  GetRequestSchema,
  type GetResponse,
  GetResponseSchema,
  grpcDefinition,
  SubmitAndWaitRequestSchema,
  SubmitRequestSchema,
  TaskService,
  toForebayError,
} from '@forebay/protocol'
import type {
  Metadata,
  ServerUnaryCall,
  ServiceDefinition,
  StatusObject,
  sendUnaryData,
  UntypedServiceImplementation,
} from '@grpc/grpc-js'
import type { HttpOptions } from '../options.ts'
import type { TaskView } from '../reply/replies.ts'
import type { Telemetry } from '../telemetry.ts'
import type { AcceptingQueues } from './accepting-queue.ts'
import type { Admission } from './admission.ts'
import type { CancelTask } from './cancel-task.ts'
import type { ClientGone } from './client-gone.ts'
import { createGrpcAccept } from './grpc-accept.ts'
import { type AnswerWriter, type CancellableCall, callerOf } from './grpc-calls.ts'
import { durationMs, onlyText, readMessage } from './grpc-fields.ts'
import { resultOf, taskOf } from './grpc-messages.ts'
import { CallStatus, statusOf } from './grpc-status.ts'
import { createGrpcSubmit, type UnaryCall } from './grpc-submit.ts'
import { GrpcSubmitStreams, type SubmitStreamCall } from './grpc-submit-stream.ts'
import { GrpcWatches, type WatchCall } from './grpc-watch.ts'
import type { LargeAnswers } from './large-answers.ts'
import { bySignal, OpenWaits } from './open-waits.ts'
import type { Authenticate } from './principal.ts'
import type { ReadTask } from './read-task.ts'
import type { Submit } from './submit.ts'
import type { OpenWatch } from './watching.ts'

/** The twin of the HTTP door: forebay.task.v1.TaskService, for a gRPC server that somebody else runs. */
export interface GrpcDoor {
  /** For `Server.addService`. Requests pass as bytes: the door reads them, and says so when they are none of its. */
  readonly definition: ServiceDefinition
  readonly handlers: UntypedServiceImplementation
  /** Takes no new tasks, answers those who wait and ends the streams; the server's own shutdown lets the calls end. */
  stop(): void
}

export interface GrpcDoorParts {
  /** For the longest wait. */
  readonly http: Pick<HttpOptions, 'waitMaxMs'>
  readonly queues: AcceptingQueues
  readonly authenticate: Authenticate
  readonly admission: Admission
  readonly submit: Submit
  readonly readTask: ReadTask
  readonly cancelTask: CancelTask
  readonly clientGone: ClientGone
  readonly openWatch: OpenWatch
  readonly largeAnswers: LargeAnswers
  /** Longest `deadline` of a task, from the end of its delay. ms */
  readonly retentionMs: number
  /** Whether there is a place where delayed tasks can wait. */
  readonly delays: boolean
  readonly clock: Clock
  readonly telemetry: Telemetry
}

/** A wait ends before the call's own deadline, so that its answer still arrives: a tenth of it before, within these. ms */
export const DEADLINE_MARGIN_MS = 50
export const DEADLINE_MARGIN_MAX_MS = 1_000

export function createGrpcDoor(parts: GrpcDoorParts): GrpcDoor {
  const { admission, readTask, cancelTask, clientGone, clock, telemetry } = parts
  const { waitMaxMs } = parts.http
  const waits = new OpenWaits()
  const accept = createGrpcAccept(parts)
  const { submit, submitAndWait } = createGrpcSubmit({ accept, waits, waitMaxMs, fetchWhole, clientGone })
  const authenticate = ({ metadata }: { readonly metadata: Metadata }) =>
    parts.authenticate(onlyText(metadata, 'authorization'))
  const streams = new GrpcSubmitStreams({ accept, authenticate, clock, refused, endCall })
  const watches = new GrpcWatches({ openWatch: parts.openWatch, authenticate, fetchWhole, clock, endCall })
  return {
    definition: definitionOfBytes(),
    handlers: {
      Submit: unary(SubmitRequestSchema, submit),
      SubmitAndWait: unary(SubmitAndWaitRequestSchema, submitAndWait),
      SubmitStream: (call: SubmitStreamCall) => streams.accept(call),
      Get: unary(GetRequestSchema, getTask),
      Watch: (call: WatchCall) => watches.accept(call),
      Cancel: unary(CancelRequestSchema, deleteTask),
    },
    stop() {
      admission.stop()
      waits.end()
      streams.stop()
      watches.stop()
    },
  }

  async function getTask(call: UnaryCall<GetRequest>): Promise<GetResponse> {
    const { request, owner, leftMs } = call
    const askedMs = request.wait === undefined ? 0 : durationMs(request.wait, 'wait')
    const waitMs = Math.max(0, Math.min(askedMs, waitMaxMs, leftMs))
    const read = (await (waitMs === 0 ? null : waitFor())) ?? (await readTask(request.id, owner, 0))
    const { id, view } = read
    const ended = view !== null && view.finishedAtMs !== null
    return create(GetResponseSchema, {
      task: taskOf(id, view),
      ...(ended ? { result: resultOf(await fetchWhole(call, view)) } : {}),
    })

    function waitFor() {
      return waits.during(
        callerOf(call),
        bySignal(async (signal) => {
          try {
            return await readTask(request.id, owner, waitMs, signal)
          } catch (thrown) {
            if (!signal.aborted) throw thrown
            return null
          }
        }),
      )
    }
  }

  async function deleteTask({ request, owner }: UnaryCall<CancelRequest>): Promise<CancelResponse> {
    const { id, view } = await cancelTask(request.id, owner)
    return create(CancelResponseSchema, {
      task: taskOf(id, view),
      ...(view === null ? {} : { result: resultOf(view) }),
    })
  }

  /** A large answer is gRPC's own from here on: what of it a caller has not read lies in the connection. */
  async function fetchWhole(call: CancellableCall, view: TaskView): Promise<TaskView> {
    if (view.blob === undefined) return view
    const gone = new AbortController()
    call.on('cancelled', () => gone.abort(new ForebayError('CLOSED', 'The caller is gone.')))
    const { view: whole, free } = await parts.largeAnswers.whole(view, gone.signal)
    free()
    return whole
  }

  function unary<Request extends DescMessage, Response>(
    schema: Request,
    handle: (call: UnaryCall<MessageShape<Request>>) => Promise<Response>,
  ) {
    return (call: ServerUnaryCall<Uint8Array, Response>, answer: sendUnaryData<Response>): void => {
      begin(call).then(
        (response) => answer(null, response),
        (thrown: unknown) => answer(statusFor(thrown)),
      )
    }

    async function begin(call: ServerUnaryCall<Uint8Array, Response>): Promise<Response> {
      const owner = authenticate(call)
      const request = readMessage(schema, call.request)
      const untilMs = Number(call.getDeadline()) - clock.wallMs()
      const marginMs = Math.min(DEADLINE_MARGIN_MAX_MS, Math.max(DEADLINE_MARGIN_MS, untilMs / 10))
      return handle(unaryCall(call, request, owner, Math.max(0, untilMs - marginMs)))
    }
  }

  function endCall<Response>(writer: AnswerWriter<Response>, thrown: unknown): void {
    writer.end(statusFor(thrown))
  }

  function statusFor(thrown: unknown): StatusObject {
    if (thrown instanceof CallStatus) {
      refused(thrown.error)
      return thrown.status
    }
    return statusOf(refused(thrown))
  }

  function refused(thrown: unknown): ForebayError {
    const error = toForebayError(thrown)
    telemetry.metrics.refused.inc({ code: error.code })
    if (error.code === 'INTERNAL') telemetry.log.error({ err: error.cause }, 'answering a call failed')
    return error
  }
}

function unaryCall<Request>(
  call: ServerUnaryCall<Uint8Array, unknown>,
  request: Request,
  owner: string,
  leftMs: number,
): UnaryCall<Request> {
  return {
    request,
    metadata: call.metadata,
    owner,
    leftMs,
    get cancelled() {
      return call.cancelled
    },
    on: (event, leave) => call.on(event, leave),
    off: (event, leave) => call.off(event, leave),
  }
}

function definitionOfBytes(): ServiceDefinition {
  const pass = (bytes: Buffer) => bytes
  return Object.fromEntries(
    Object.entries(grpcDefinition(TaskService)).map(([name, method]) => [
      name,
      { ...method, requestDeserialize: pass },
    ]),
  )
}
