import { create } from '@bufbuild/protobuf'
import { type Duration, type Timestamp, timestampFromMs } from '@bufbuild/protobuf/wkt'
import type { Clock } from '@forebay/broker'
import {
  type CancelRequest,
  type CancelResponse,
  CancelResponseSchema,
  ERRORS,
  ForebayError,
  type GetRequest,
  type GetResponse,
  GetResponseSchema,
  grpcDefinition,
  type SubmitRequest,
  type SubmitResponse,
  SubmitResponseSchema,
  TaskService,
  TaskState,
  toForebayError,
} from '@forebay/protocol'
import {
  Metadata,
  type MetadataValue,
  type ServerUnaryCall,
  type ServiceDefinition,
  type ServiceError,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { isMediaType } from '../media-type.ts'
import type { HttpOptions } from '../options.ts'
import { OCTET_STREAM } from '../records.ts'
import type { TaskView } from '../reply/replies.ts'
import { PRIORITY_DEFAULT, PRIORITY_MAX, type TaskState as StateName } from '../task.ts'
import type { Telemetry } from '../telemetry.ts'
import type { AcceptingQueues } from './accepting-queue.ts'
import { type Admission, TASK_OVERHEAD_BYTES } from './admission.ts'
import type { CancelTask } from './cancel-task.ts'
import { withFlowHeader } from './flow-header.ts'
import { idempotencyKeyFor } from './idempotency.ts'
import type { LargeAnswers } from './large-answers.ts'
import { bySignal, type Caller, OpenWaits } from './open-waits.ts'
import type { KeyHints } from './ordering-key.ts'
import type { Authenticate } from './principal.ts'
import type { ReadTask } from './read-task.ts'
import type { Submit } from './submit.ts'
import { faultOf } from './task-view.ts'
import { AT_ONCE, checkTiming, type Timing, type TimingNames } from './timing.ts'
import { traceHeaders } from './trace-context.ts'

/** The twin of the HTTP door: forebay.task.v1.TaskService, for a gRPC server that somebody else runs. */
export interface GrpcDoor {
  /** For `Server.addService`. */
  readonly definition: ServiceDefinition
  readonly handlers: UntypedServiceImplementation
  /** Takes no new tasks and answers those who wait; the server's own shutdown lets the calls end. */
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
  readonly largeAnswers: LargeAnswers
  /** Longest `deadline` of a task, from the end of its delay. ms */
  readonly retentionMs: number
  /** Whether there is a place where delayed tasks can wait. */
  readonly delays: boolean
  readonly clock: Clock
  readonly telemetry: Telemetry
}

/** A wait ends this much before the call's own deadline, so that its answer still arrives. ms */
export const DEADLINE_MARGIN_MS = 50

export function createGrpcDoor(parts: GrpcDoorParts): GrpcDoor {
  const { queues, authenticate, admission, submit, readTask, cancelTask, clock, telemetry } = parts
  const waits = new OpenWaits()
  return {
    definition: grpcDefinition(TaskService),
    handlers: { Submit: unary(submitTask), Get: unary(getTask), Cancel: unary(deleteTask) },
    stop() {
      admission.stop()
      waits.end()
    },
  }

  async function submitTask(call: ServerUnaryCall<SubmitRequest, SubmitResponse>): Promise<SubmitResponse> {
    const { request, metadata } = call
    const owner = authenticate(onlyText(metadata, 'authorization'))
    const queue = queues.find(request.queue)
    const { payload } = request
    const { bodyBytesMax } = queue.options
    if (payload.length > bodyBytesMax) {
      throw new ForebayError(
        'TASK_TOO_LARGE',
        `payload is larger than the ${bodyBytesMax} bytes that this queue takes.`,
        {
          members: { limit: bodyBytesMax },
        },
      )
    }
    const contentType = request.contentType === '' ? OCTET_STREAM : request.contentType
    if (!isMediaType(contentType)) {
      throw new ForebayError('BAD_REQUEST', 'content_type is not a media type; send one like "application/json".')
    }
    const waitMs = boundedWait(call, request.wait)
    const idempotencyKey = idempotencyKeyFor(queue.options, request.idempotencyKey)
    const timing = readTiming(request)
    const priority = readPriority(request.priority)
    const held = TASK_OVERHEAD_BYTES + payload.length
    admission.enter(held)
    const kept = await keep().finally(() => admission.leave(held))
    const ended = kept.wait === null ? null : await waits.during(callerOf(call), kept.wait)
    // That the task is kept is true, whatever comes of fetching its answer.
    const view = ended === null ? null : await fetchWhole(call, ended).catch(() => null)
    return create(SubmitResponseSchema, {
      task: taskOf(kept.taskId, queue.options.name, kept.acceptedAtMs, view),
      ...(view === null ? {} : { result: resultOf(view) }),
      replayed: kept.replayed,
      ...(kept.keyExpiresAtMs === null ? {} : { idempotencyExpiresAt: timestampFromMs(kept.keyExpiresAtMs) }),
    })

    async function keep() {
      const hints: KeyHints = { given: request.key ?? null, parameters: {}, header: () => undefined }
      return submit({
        queue,
        method: 'POST',
        owner,
        key: queue.check(payload, hints),
        payload,
        contentType,
        headers: withFlowHeader(
          traceHeaders(onlyText(metadata, 'traceparent'), onlyText(metadata, 'tracestate')),
          queue.options.fairness,
          (name) => onlyText(metadata, name),
        ),
        timing,
        priority,
        idempotencyKey,
        waitMs,
      })
    }
  }

  async function getTask(call: ServerUnaryCall<GetRequest, GetResponse>): Promise<GetResponse> {
    const owner = authenticate(onlyText(call.metadata, 'authorization'))
    const { id: text } = call.request
    const waitMs = boundedWait(call, call.request.wait)
    const read = (await (waitMs === 0 ? null : waitFor())) ?? (await readTask(text, owner, 0))
    const { id, view } = read
    const ended = view !== null && view.finishedAtMs !== null
    return create(GetResponseSchema, {
      task: taskOf(id.id, id.queue, id.acceptedAtMs, view),
      ...(ended ? { result: resultOf(await fetchWhole(call, view)) } : {}),
    })

    function waitFor() {
      return waits.during(
        callerOf(call),
        bySignal(async (signal) => {
          try {
            return await readTask(text, owner, waitMs, signal)
          } catch (thrown) {
            if (!signal.aborted) throw thrown
            return null
          }
        }),
      )
    }
  }

  async function deleteTask(call: ServerUnaryCall<CancelRequest, CancelResponse>): Promise<CancelResponse> {
    const owner = authenticate(onlyText(call.metadata, 'authorization'))
    const { id, view } = await cancelTask(call.request.id, owner)
    return create(CancelResponseSchema, {
      task: taskOf(id.id, id.queue, id.acceptedAtMs, view),
      ...(view === null ? {} : { result: resultOf(view) }),
    })
  }

  /** A large answer is gRPC's own from here on: what of it a caller has not read lies in the connection. */
  async function fetchWhole(call: ServerUnaryCall<unknown, unknown>, view: TaskView): Promise<TaskView> {
    if (view.blob === undefined) return view
    const gone = new AbortController()
    call.on('cancelled', () => gone.abort(new ForebayError('CLOSED', 'The caller is gone.')))
    const { view: whole, free } = await parts.largeAnswers.whole(view, gone.signal)
    free()
    return whole
  }

  /** What the caller asked for, within our longest wait and the call's own deadline. */
  function boundedWait(
    call: Pick<ServerUnaryCall<unknown, unknown>, 'getDeadline'>,
    asked: Duration | undefined,
  ): number {
    if (asked === undefined) return 0
    const waitMs = durationMs(asked, 'wait')
    const leftMs = Number(call.getDeadline()) - clock.wallMs() - DEADLINE_MARGIN_MS
    return Math.max(0, Math.min(waitMs, parts.http.waitMaxMs, leftMs))
  }

  function readTiming({ delay, notBefore, deadline }: SubmitRequest): Timing {
    if (delay === undefined && notBefore === undefined && deadline === undefined) return AT_ONCE
    const asked = {
      delayMs: delay === undefined ? undefined : durationMs(delay, 'delay'),
      notBeforeMs: notBefore === undefined ? undefined : momentMs(notBefore),
      deadlineMs: deadline === undefined ? undefined : durationMs(deadline, 'deadline'),
    }
    const { delays, retentionMs } = parts
    return checkTiming(asked, { delays, retentionMs, nowMs: clock.wallMs() }, FIELDS)
  }

  function unary<Request, Response>(handle: (call: ServerUnaryCall<Request, Response>) => Promise<Response>) {
    return (call: ServerUnaryCall<Request, Response>, answer: sendUnaryData<Response>): void => {
      handle(call).then(
        (response) => answer(null, response),
        (thrown: unknown) => {
          const error = toForebayError(thrown)
          telemetry.metrics.refused.inc({ code: error.code })
          if (error.code === 'INTERNAL') telemetry.log.error({ err: error.cause }, 'answering a call failed')
          answer(serviceError(error))
        },
      )
    }
  }
}

/** Status and trailers by the table of errors: `forebay-error` is its code, the others the task it is about. */
function serviceError(error: ForebayError): Partial<ServiceError> {
  const metadata = new Metadata()
  metadata.set('forebay-error', error.code)
  const { task, state } = error.members
  if (typeof task === 'string') metadata.set('forebay-task', task)
  if (typeof state === 'string') metadata.set('forebay-state', state)
  return { code: status[ERRORS[error.code].grpc], details: error.message, metadata }
}

function onlyText(metadata: Metadata, name: string): string | undefined {
  const values: readonly MetadataValue[] = metadata.get(name)
  if (values.length === 0) return undefined
  const [value] = values
  if (values.length > 1 || typeof value !== 'string') {
    throw new ForebayError('BAD_HEADER', `The metadata ${name} came twice.`, { members: { header: name } })
  }
  return value
}

const FIELDS: TimingNames = { delay: 'delay', notBefore: 'not_before', deadline: 'deadline', refuse: badField }

function badField(field: string, message: string): ForebayError {
  return new ForebayError('BAD_REQUEST', message, { members: { field } })
}

function durationMs({ seconds, nanos }: Duration, field: string): number {
  const ms = Number(seconds) * 1_000 + Math.round(nanos / 1_000_000)
  if (ms >= 0 && nanos >= 0 && nanos < 1_000_000_000) return ms
  throw badField(field, `${field} must be a well-formed duration that is not negative.`)
}

/** Rounded up: not before is not before. */
function momentMs({ seconds, nanos }: Timestamp): number {
  const ms = Number(seconds) * 1_000 + Math.ceil(nanos / 1_000_000)
  if (Math.abs(ms) <= MOMENT_MAX_MS && nanos >= 0 && nanos < 1_000_000_000) return ms
  throw badField('not_before', 'not_before must be a well-formed timestamp.')
}

/** What a Date can hold. */
const MOMENT_MAX_MS = 8.64e15

function readPriority(given: number | undefined): number {
  if (given === undefined) return PRIORITY_DEFAULT
  if (given <= PRIORITY_MAX) return given
  throw badField('priority', `priority is ${given}; it must be 0 to ${PRIORITY_MAX}.`)
}

function callerOf(call: ServerUnaryCall<unknown, unknown>): Caller {
  return {
    get gone() {
      return call.cancelled
    },
    onGone: (leave) => call.on('cancelled', leave),
    offGone: (leave) => call.off('cancelled', leave),
  }
}

function taskOf(id: string, queue: string, acceptedAtMs: number, view: TaskView | null) {
  return {
    id,
    queue: view?.queue ?? queue,
    state: STATES[view?.state ?? 'pending'],
    attempts: view?.attempts ?? 0,
    generation: view?.generation ?? 0,
    acceptedAt: timestampFromMs(acceptedAtMs),
    ...(view !== null && view.finishedAtMs !== null ? { finishedAt: timestampFromMs(view.finishedAtMs) } : {}),
  }
}

function resultOf(view: TaskView) {
  const state = STATES[view.state]
  if (view.state === 'succeeded') {
    return { state, payload: view.payload ?? new Uint8Array(), contentType: view.contentType ?? OCTET_STREAM }
  }
  const { code, message } = faultOf(view)
  return { state, problem: { code, detail: message } }
}

const STATES: Readonly<Record<StateName, TaskState>> = {
  pending: TaskState.PENDING,
  running: TaskState.RUNNING,
  retrying: TaskState.RETRYING,
  parked: TaskState.PARKED,
  succeeded: TaskState.SUCCEEDED,
  failed: TaskState.FAILED,
  dead: TaskState.DEAD,
  cancelled: TaskState.CANCELLED,
  expired: TaskState.EXPIRED,
}
