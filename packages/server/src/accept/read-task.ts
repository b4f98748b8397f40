import type { Clock } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import type { Replies, TaskView } from '../reply/replies.ts'
import type { Result } from '../task.ts'
import type { TaskIdParts, TaskIds } from './task-id.ts'

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
  /** Puts a result into the log, and its copy where its queue has a topic for those. */
  readonly publishResult: (result: Result, lane: number) => Promise<void>
  readonly replies: Replies
  readonly clock: Clock
  readonly retentionMs: number
}

/** A result that was published at the last moment may still be on its way to the store. ms */
export const EXPIRED_GRACE_MS = 10_000

export function createReadTask({ ids, publishResult, replies, clock, retentionMs }: ReadTaskParts): ReadTask {
  return async (text, owner, waitMs, signal) => {
    const id = ids.read(text, owner)
    if (id === null) throw taskNotFound()
    const view = await replies.read(id, waitMs, signal)
    const nowMs = clock.wallMs()
    refuseUnreadable(id, view, owner, nowMs, retentionMs)
    if (view !== null) return { id, view }
    if (nowMs <= id.deadlineAtMs + EXPIRED_GRACE_MS) return { id, view: null }
    return { id, view: await expire(id, owner) }
  }

  /**
   * Nobody has heard of the task, and yet it may be on its way: in a log without dispatchers, or in one whose clock is
   * behind ours. So that nobody is told another end later, this one goes to the lane like any other, where the first wins
   * (P2). Null, which is "pending", as long as the log does not take it.
   */
  async function expire(id: TaskIdParts, owner: string): Promise<TaskView | null> {
    const detail = 'The deadline passed before the task came to an end.'
    const end = { state: 'expired', fault: { code: 'TASK_EXPIRED', detail } } as const
    const { id: taskId, queue, lane, deadlineAtMs: finishedAtMs } = id
    try {
      await publishResult({ taskId, queue, owner, attempts: 0, generation: 0, finishedAtMs, end }, lane)
    } catch {
      return null
    }
    return replies.read(id, STORED_WITHIN_MS)
  }
}

export function taskNotFound(): ForebayError {
  return new ForebayError('TASK_NOT_FOUND', 'There is no task of this id, or it is not yours.')
}

/** Throws TASK_NOT_FOUND for what somebody else wrote under this id, TASK_GONE past retention. */
export function refuseUnreadable(
  id: TaskIdParts,
  view: TaskView | null,
  owner: string,
  nowMs: number,
  retentionMs: number,
): void {
  if (view !== null && view.owner !== owner) throw taskNotFound()
  // The store removes it at about the same time.
  const endedAtMs = view === null ? id.deadlineAtMs : view.finishedAtMs
  if (endedAtMs !== null && nowMs > endedAtMs + retentionMs) {
    throw new ForebayError('TASK_GONE', 'This task ended longer ago than results are kept.')
  }
}

/** How long the store may take to hear of it. ms */
const STORED_WITHIN_MS = 5_000
