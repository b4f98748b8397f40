import { type Timestamp, timestampFromMs } from '@bufbuild/protobuf/wkt'
import { TaskState } from '@forebay/protocol'
import { OCTET_STREAM } from '../records.ts'
import type { TaskView } from '../reply/replies.ts'
import type { TaskState as StateName } from '../task.ts'
import { problemOf } from './grpc-status.ts'
import { faultOf } from './task-view.ts'

/** What TaskService says of a task, ready for `create`. */

export interface Named {
  readonly id: string
  readonly queue: string
  readonly acceptedAtMs: number
}

/** `view` null: kept, and nothing known of it yet. */
export function taskOf({ id, queue, acceptedAtMs }: Named, view: TaskView | null) {
  return {
    id,
    queue: view?.queue ?? queue,
    state: STATES[view?.state ?? 'pending'],
    attempts: view?.attempts ?? 0,
    generation: view?.generation ?? 0,
    acceptedAt: timestampFromMs(acceptedAtMs),
    ...finishedAt(view),
  }
}

/** Of a task that has ended, with its payload fetched. */
export function resultOf(view: TaskView) {
  const state = STATES[view.state]
  if (view.state === 'succeeded') {
    return { state, payload: view.payload ?? EMPTY, contentType: view.contentType ?? OCTET_STREAM }
  }
  return { state, problem: problemOf(faultOf(view)) }
}

function finishedAt(view: TaskView | null): { finishedAt?: Timestamp } {
  return view === null || view.finishedAtMs === null ? {} : { finishedAt: timestampFromMs(view.finishedAtMs) }
}

const EMPTY = new Uint8Array()

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
