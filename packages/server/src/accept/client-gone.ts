import { toForebayError } from '@forebay/protocol'
import type { Telemetry } from '../telemetry.ts'
import type { AcceptingQueue } from './accepting-queue.ts'
import type { CancelTask } from './cancel-task.ts'
import type { Kept } from './submit.ts'

/**
 * For every door: the caller who handed this task in and waited for its end went away before the answer. On a queue with
 * `onClientGone: cancel` the task is cancelled then, best effort. A caller who was led to the task of an earlier request by
 * its idempotency key takes nothing with it, nor does one who is cut off by a stop.
 */
export type ClientGone = (queue: AcceptingQueue, kept: Kept, owner: string) => void

export interface ClientGoneParts {
  readonly cancelTask: CancelTask
  readonly stopping: () => boolean
  readonly telemetry: Telemetry
}

export function createClientGone({ cancelTask, stopping, telemetry }: ClientGoneParts): ClientGone {
  return ({ options }, { taskId, replayed }, owner) => {
    if (options.onClientGone !== 'cancel' || replayed || stopping()) return
    cancelTask(taskId, owner).catch((thrown: unknown) => {
      const err = toForebayError(thrown)
      if (err.code !== 'TASK_ENDED')
        telemetry.log.warn({ err, task: taskId }, 'cancelling the task of a client that is gone failed')
    })
  }
}
