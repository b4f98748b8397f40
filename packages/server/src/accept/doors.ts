import type { Broker, Clock, Random } from '@forebay/broker'
import type { ServerOptions } from '../options.ts'
import type { Replies } from '../reply/replies.ts'
import type { Store } from '../store/store.ts'
import type { Telemetry } from '../telemetry.ts'
import { acceptingQueues } from './accepting-queue.ts'
import { Admission } from './admission.ts'
import { createGrpcDoor, type GrpcDoor } from './grpc-door.ts'
import type { Health } from './health-answers.ts'
import { createHttpDoor, type HttpDoor } from './http-door.ts'
import { authenticator } from './principal.ts'
import { createReadTask } from './read-task.ts'
import { createSubmit } from './submit.ts'
import { createTaskIds, type TaskIdKeys } from './task-id.ts'

/** The first step of a task: every door into it, and the one road behind them. */
export interface Doors {
  readonly http: HttpDoor
  readonly grpc: GrpcDoor
  /** Bytes of bodies that are on their way into the log. */
  readonly admission: Admission
}

export interface DoorsParts {
  readonly options: Pick<ServerOptions, 'http' | 'auth' | 'queues' | 'retentionMs'>
  /** Open, with the topics of all queues made. */
  readonly broker: Broker
  /** Partitions of a queue's topic; asked once, at the start. */
  readonly partitionsOf: (topic: string) => number
  readonly keys: TaskIdKeys
  readonly replies: Replies
  readonly store: Store
  readonly health: () => Health
  readonly clock: Clock
  readonly random: Random
  readonly telemetry: Telemetry
}

/** Opens nothing yet. Throws CONFIG_INVALID for a queue's schema that is none. */
export function createDoors(parts: DoorsParts): Doors {
  const { options, broker, partitionsOf, keys, replies, store, health, clock, random, telemetry } = parts
  const { http, retentionMs } = options
  const ids = createTaskIds(keys, options.queues.keys(), random)
  const admission = new Admission(http.acceptingBytesMax)
  const queues = acceptingQueues({ queues: options.queues, partitionsOf, random, telemetry })
  const authenticate = authenticator(options.auth.keys)
  const submit = createSubmit({ broker, replies, store, ids, clock, telemetry, idempotencyWindowMs: retentionMs })
  const readTask = createReadTask({ ids, replies, clock, retentionMs })
  const road = { http, queues, authenticate, admission, submit, readTask, retentionMs, clock, telemetry }
  return { admission, http: createHttpDoor({ ...road, health }), grpc: createGrpcDoor(road) }
}
