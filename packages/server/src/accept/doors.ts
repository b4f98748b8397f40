import type { Broker, Clock, Random } from '@forebay/broker'
import type { LargeBodies } from '../blobs/large-bodies.ts'
import { resultPublisher, resultTopics } from '../finish/result-topics.ts'
import { createLogDoor, type LogDoor } from '../log/log-door.ts'
import type { ServerOptions } from '../options.ts'
import type { Replies } from '../reply/replies.ts'
import type { Store } from '../store/store.ts'
import type { Telemetry } from '../telemetry.ts'
import { acceptingEvents } from './accepting-events.ts'
import { acceptingQueues } from './accepting-queue.ts'
import { parkedRoutes } from './admin-parked.ts'
import type { AdminRoute } from './admin-routes.ts'
import { Admission } from './admission.ts'
import { boundedReadTask, boundedSubmit } from './bounded-waits.ts'
import { type CallbackRegistration, createCallbackRegistration } from './callback-registration.ts'
import { createCancelTask } from './cancel-task.ts'
import { createClientGone } from './client-gone.ts'
import { createEventsDoor } from './events-door.ts'
import { createGrpcDoor, type GrpcDoor } from './grpc-door.ts'
import type { Health } from './health-answers.ts'
import { createHttpDoor, type HttpDoor } from './http-door.ts'
import { createLargeAnswers } from './large-answers.ts'
import { authenticator, operatorsAmong } from './principal.ts'
import { PrincipalSlots } from './principal-slots.ts'
import { createReadTask, type ReadTask } from './read-task.ts'
import { createSubmit } from './submit.ts'
import { createTaskIds, type TaskIdKeys } from './task-id.ts'
import { taskOwner } from './task-owner.ts'
import { createOpenWatch } from './watching.ts'

/** The first step of a task: every door into it, and the one road behind them. */
export interface Doors {
  readonly http: HttpDoor
  readonly grpc: GrpcDoor
  /** The log itself, for other processes. */
  readonly log: LogDoor
  /** Bytes of bodies that are on their way into the log. */
  readonly admission: Admission
  readonly callbacks: CallbackRegistration
  readonly readTask: ReadTask
}

export interface DoorsParts {
  /** Without `webhooks` callbacks are refused, without `events` nothing can be published. */
  readonly options: Pick<ServerOptions, 'http' | 'auth' | 'queues' | 'retentionMs'> &
    Partial<Pick<ServerOptions, 'webhooks' | 'events'>>
  /** Open, with the topics of all queues made. */
  readonly broker: Broker
  /** Partitions of a queue's topic; asked once, at the start. */
  readonly partitionsOf: (topic: string) => number
  readonly keys: TaskIdKeys
  readonly replies: Replies
  readonly store: Store
  /**
   * Whether delayed and parked tasks have a place to wait: a store that keeps them, common to all dispatchers
   * (`usableParking`). Where not, the doors refuse delays.
   */
  readonly delays: boolean
  /** Default: none, and every body goes into its record. */
  readonly large?: LargeBodies | null
  /** Operators' routes beside those of parked tasks. */
  readonly adminRoutes?: readonly AdminRoute[]
  readonly health: () => Health
  readonly clock: Clock
  readonly random: Random
  readonly telemetry: Telemetry
}

/** Opens nothing yet. Throws CONFIG_INVALID for a queue's schema that is none. */
export function createDoors(parts: DoorsParts): Doors {
  const { options, broker, partitionsOf, keys, replies, store, delays, health, clock, random, telemetry } = parts
  const { http, auth, retentionMs } = options
  const ids = createTaskIds(keys, options.queues.keys(), random)
  const admission = new Admission(http.acceptingBytesMax)
  const queues = acceptingQueues({ queues: options.queues, partitionsOf, random, telemetry })
  const authenticate = authenticator(auth.keys)
  const { large = null } = parts
  const { webhooks = null } = options
  const callbacks = createCallbackRegistration({
    callbacks: store.callbacks,
    options: webhooks,
    retentionMs,
    clock,
    random,
    telemetry,
  })
  const submitUnbounded = createSubmit({ broker, replies, store, large, callbacks, ids, clock, telemetry })
  const largeAnswers = createLargeAnswers({ blobs: large?.blobs ?? null, retentionMs, clock })
  const topics = resultTopics(options.queues.values(), broker.capabilities.recordBytesMax)
  const publishResult = resultPublisher({ broker, topics, clock, log: telemetry.log })
  const readUnbounded = createReadTask({ ids, publishResult, replies, clock, retentionMs })
  const waitSlots = auth.keys.length === 0 ? null : new PrincipalSlots(http.waitersPerPrincipalMax)
  const submit = waitSlots === null ? submitUnbounded : boundedSubmit(submitUnbounded, waitSlots)
  const readTask = waitSlots === null ? readUnbounded : boundedReadTask(readUnbounded, waitSlots)
  const openWatch = createOpenWatch({
    ids,
    replies,
    readTask,
    slots: auth.keys.length === 0 ? null : new PrincipalSlots(http.watchersPerPrincipalMax),
    watchersMax: http.watchersMax,
    stopping: () => admission.stopping,
    clock,
    retentionMs,
  })
  const isOperator = operatorsAmong(auth.keys)
  const ownerOf = taskOwner({ ids, isOperator, keys: auth.keys })
  const cancelTask = createCancelTask({ broker, publishResult, replies, readTask, ownerOf, clock, telemetry })
  const clientGone = createClientGone({ cancelTask, stopping: () => admission.stopping, telemetry })
  const road = {
    http,
    queues,
    authenticate,
    admission,
    submit,
    readTask,
    cancelTask,
    clientGone,
    callbacks,
    openWatch,
    largeAnswers,
    retentionMs,
    delays,
    keys: auth.keys.length > 0,
    offersCallbacks: store.callbacks !== null && options.webhooks != null,
    clock,
    random,
    telemetry,
  }
  const { recordBytesMax } = broker.capabilities
  const parked = parkedRoutes({ parking: delays ? store.parking : null, queues, recordBytesMax })
  const adminRoutes = [...parked, ...(parts.adminRoutes ?? [])]
  const eventTypes = options.events ?? new Map()
  const publishEvents = createEventsDoor({
    events: acceptingEvents(eventTypes, recordBytesMax),
    broker,
    authenticate,
    keys: auth.keys.length > 0,
    admission,
    bodyBytesMax: http.bodyBytesMax,
    clock,
    telemetry,
  })
  return {
    admission,
    callbacks,
    readTask,
    http: createHttpDoor({ ...road, isOperator, adminRoutes, publishEvents, events: [...eventTypes.values()], health }),
    grpc: createGrpcDoor(road),
    log: createLogDoor({ ...road, broker, queues: options.queues.values() }),
  }
}
