import type { Clock } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import type { Replies, TaskView } from '../reply/replies.ts'
import type { TaskIdParts, TaskIds } from './task-id.ts'
import { expiredView } from './task-view.ts'

export interface TaskRead {
  readonly id: TaskIdParts
  /** Null: kept, and nothing known of it yet. */
  readonly view: TaskView | null
}

/**
 * How a task stands, for every door. Throws TASK_NOT_FOUND, the same for ids that were never given out, are damaged or
 * belong to somebody else; TASK_GONE past retention; STORE_BEHIND.
 */
export type ReadTask = (text: string, owner: string, waitMs: number, signal?: AbortSignal) => Promise<TaskRead>

export interface ReadTaskParts {
  readonly ids: TaskIds
  readonly replies: Replies
  readonly clock: Clock
  readonly retentionMs: number
}

/** A result that was published at the last moment may still be on its way to the store. ms */
export const EXPIRED_GRACE_MS = 10_000

export function createReadTask({ ids, replies, clock, retentionMs }: ReadTaskParts): ReadTask {
  return async (text, owner, waitMs, signal) => {
    const id = ids.read(text, owner)
    if (id === null) throw new ForebayError('TASK_NOT_FOUND', 'There is no task of this id, or it is not yours.')
    const view = await replies.read(id, waitMs, signal)
    if (view !== null) {
      if (view.owner !== owner)
        throw new ForebayError('TASK_NOT_FOUND', 'There is no task of this id, or it is not yours.')
      return { id, view }
    }
    const nowMs = clock.wallMs()
    if (nowMs > id.deadlineAtMs + retentionMs) {
      throw new ForebayError('TASK_GONE', 'This task ended longer ago than results are kept.')
    }
    if (nowMs <= id.deadlineAtMs + EXPIRED_GRACE_MS) return { id, view: null }
    return { id, view: expiredView(id.id, id.queue, owner, id.deadlineAtMs) }
  }
}
