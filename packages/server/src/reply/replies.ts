import type { TaskIdParts } from '../accept/task-id.ts'
import type { BlobRef, ChunkContent, ProgressContent, Result, TaskState } from '../task.ts'

/**
 * Brings answers back to whoever waits for them. Two ways, one answer (P2):
 *
 * - A caller who waits for a task that it just handed in is woken by the lane: `expect` is called before the append,
 *   the lane has been heard since before that, so the first result heard is the first in the log.
 * - Everybody else reads the store. Before it says that a task has not ended, it makes sure that this store has read
 *   the task's lane as far as it reached when the question came: so no reader, on any gateway, is told "pending" after
 *   another one was told the end.
 */
export interface Replies {
  /** The results partition that tasks accepted by this process name as theirs. */
  readonly lane: number
  /**
   * Null when `http.waitersMax` callers wait already: answer 202 at once. Only for an id that no record carries yet: a
   * task that is appended again may have its first result in the log already, and what is heard next would be another.
   */
  expect(taskId: string): Expectation | null
  /**
   * How a task stands; with `waitMs` > 0 answers when it has ended or the time is over. Null when nothing is known of
   * it (it may still be pending: the id itself says). Rejects with STORE_BEHIND when this gateway cannot make sure in
   * time, with the signal's reason when it aborts.
   */
  read(id: TaskIdParts, waitMs: number, signal?: AbortSignal): Promise<TaskView | null>
  /**
   * Follows a task from `after` on, an offset on its lane (-1: from the beginning). Null when `http.watchersMax` do so already:
   * refuse with OVERLOADED. Whoever stops asking must call `stop`.
   */
  watch(id: TaskIdParts, after: number): Watch | null
}

/** One who follows a task. What comes while nobody asks is not gathered without bound: it is read again from the store. */
export interface Watch {
  /**
   * What is new, in order: first of all how the task stands (where it has ended: what it said, and then its end). Waits until
   * there is something; null once the end was handed out or after `stop`. One call at a time. Rejects with STORE_BEHIND, STORE_UNAVAILABLE; it may be asked again then.
   */
  next(): Promise<readonly WatchEvent[] | null>
  /** Between the first `next` and the second: how the task stood when the watch began. */
  readonly standing: TaskView | null
  /** Frees its place; a `next` that waits resolves with null. Safe to call twice. */
  stop(): void
}

export type WatchEvent =
  /** How it stands; no two in a row say the same. `view` null: kept, and nothing known of it yet. */
  | { readonly kind: 'state'; readonly view: TaskView | null }
  /** Another attempt (or generation) begins to speak: what was handed out before is void. */
  | { readonly kind: 'restart'; readonly generation: number; readonly attempts: number }
  | {
      readonly kind: 'output'
      /** Where to resume after it. */
      readonly offset: number
      readonly attempts: number
      /** 1 for the first chunk of the attempt, growing by 1; of a progress: chunks before it. */
      readonly chunks: number
      readonly atMs: number
      readonly content: ChunkContent | ProgressContent
    }
  | { readonly kind: 'end'; readonly view: TaskView }

export interface Expectation {
  /** Null when `waitMs` passed first, or the signal aborted. Call it once. */
  result(waitMs: number, signal?: AbortSignal): Promise<Result | null>
  /** Ends the wait with null; frees the slot of a task that was not kept after all. */
  cancel(): void
}

export interface TaskView {
  readonly taskId: string
  readonly queue: string
  readonly owner: string
  readonly state: TaskState
  readonly attempts: number
  readonly generation: number
  readonly finishedAtMs: number | null
  /** Why it failed, or why its last attempt did. */
  readonly fault: { readonly code: string; readonly detail: string } | null
  readonly payload: Uint8Array | null
  readonly contentType: string | null
  /** Where the answer is when it is too large for a record; `payload` is empty then. */
  readonly blob?: BlobRef
}
