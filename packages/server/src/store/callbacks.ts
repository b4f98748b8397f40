import type { EndState } from '../task.ts'

/**
 * Callbacks ("webhooks"): who wants to be called when a task has ended. A row is written before its task is acknowledged,
 * falls due in the transaction that applies the task's first result, and is handed to one gateway at a time under a lease.
 *
 * A result makes a row due once for each generation: one that `Store.apply` takes as the first of a generation later than
 * the row knows makes it due anew, whatever became of it before, also while it is handed out (its taker's conclusion is then
 * refused). The same results read again, after a rebuild, make nothing due. Rows survive a rebuild.
 *
 * A row goes at its `keepUntilMs`, or the store's `retentionMs` after it was delivered or given up.
 *
 * Times are wall ms of the store's own clock, as with parking.
 */
export interface Callbacks {
  /**
   * Keeps that `url` is to be called when the task has ended; due at once when it has ended already: of a registration and
   * a result at the same moment, whichever is later sees the other. The same task and URL twice is one row ('known'): it
   * keeps its id and its state, and the later `keepUntilMs` of both. 'full' when the task has `CALLBACKS_PER_TASK_MAX` others.
   * 'disabled', before all else, when the receiver has said 410 to this owner.
   */
  register(callback: CallbackToRegister): Promise<'registered' | 'known' | 'full' | 'disabled'>
  /** The task was certainly not kept: its rows that wait go. What has fallen due shows that there was a task, and stays. */
  forget(taskId: string): Promise<void>
  /**
   * Hands out what is due, the longest due first, at most `perHostMax` of a host counting those that are handed out already. Each is
   * this caller's for `leaseMs`; then it is due again. However much is due at a host that has its fill, others come.
   */
  take(request: TakeCallbacks): Promise<readonly DueCallback[]>
  /**
   * What came of a call; written to the delivery log. False when the row is not this taker's any more: its lease was lost to
   * another, it was concluded, made due anew or disabled, or has gone (the row is then as that left it). A lease that has
   * run out and was taken by nobody still holds.
   */
  conclude(conclusion: CallbackConclusion): Promise<boolean>
  /**
   * Earliest time at which something falls due, not counting what is handed out; null where nothing waits. In the past where
   * something is due now, also what a host that has its fill holds back.
   */
  nextDueMs(): Promise<number | null>
  /** What the filter names, the youngest registration first. */
  list(filter: CallbackFilter): Promise<readonly CallbackView[]>
  /**
   * Makes what the filter names due at once, also what was delivered or given up; its tries are counted from 0 again. Leaves
   * alone what waits for its task, what is disabled, and what is handed out: that is being called. Of the rest the youngest
   * `countMax`. Resolves with how many.
   */
  replay(filter: CallbackFilter): Promise<number>
  /**
   * Lifts what a 410 has disabled: for one URL of one owner. Its disabled rows are due at once where their task has ended,
   * and wait where it has not. False when nothing was disabled.
   */
  enable(owner: string, url: string): Promise<boolean>
}

export interface CallbackToRegister {
  /** Names the callback for ever: 'cb_' and 26 characters. The `webhook-id` of every try; of a redriven task with its generation. */
  readonly id: string
  readonly taskId: string
  readonly owner: string
  readonly queue: string
  readonly url: string
  /** Host and port of the URL, in lower case. */
  readonly host: string
  /** Kept until then even when the task never ends; wall ms. */
  readonly keepUntilMs: number
}

export interface TakeCallbacks {
  readonly countMax: number
  readonly perHostMax: number
  readonly leaseMs: number
  /** Names the taker, so that a conclusion after its lease is refused. */
  readonly taker: string
}

export interface DueCallback extends CallbackToRegister {
  /** Calls concluded since it fell due (or was replayed last, or enabled again). */
  readonly tries: number
  /** When it first fell due (or was replayed last, or enabled again); wall ms. */
  readonly dueSinceMs: number
  /** Of the task when it ended. */
  readonly generation: number
}

export interface CallbackConclusion {
  readonly id: string
  readonly taker: string
  readonly attempt: CallbackAttempt
  readonly then:
    | { readonly kind: 'delivered' }
    | { readonly kind: 'again'; readonly inMs: number }
    | { readonly kind: 'given-up' }
    /**
     * 410: the receiver wants nothing more at this URL; what waits or is due of the owner's other callbacks to it is disabled
     * too. Forgotten after `CALLBACK_DISABLED_KEPT_MS`, so that the list of them does not grow for ever.
     */
    | { readonly kind: 'disabled' }
}

/** One line of the delivery log; the last `CALLBACK_ATTEMPTS_KEPT` of a callback are kept. */
export interface CallbackAttempt {
  readonly atMs: number
  readonly durationMs: number
  /** HTTP status; null where no answer came. */
  readonly status: number | null
  /** Why it failed, one sentence; null when it did not. */
  readonly detail: string | null
}

export interface CallbackFilter {
  readonly taskId?: string
  readonly id?: string
  readonly owner?: string
  readonly queue?: string
  readonly url?: string
  readonly state?: CallbackState
  /** Default `CALLBACKS_LISTED_DEFAULT`, at most `CALLBACKS_LISTED_MAX`. */
  readonly countMax?: number
  /** Only those whose last change was at or after this; wall ms. */
  readonly sinceMs?: number
}

/** 'waiting': the task has not ended. 'due': a call is to be made, or made again. */
export type CallbackState = 'waiting' | 'due' | 'delivered' | 'given-up' | 'disabled'

export interface CallbackView extends CallbackToRegister {
  readonly state: CallbackState
  /** As `DueCallback` has them. */
  readonly tries: number
  /** With 'due': not before; the end of the lease where it is handed out. Wall ms. */
  readonly nextAtMs: number | null
  /** Its last change of state, try or replay; handing out is none. Wall ms. */
  readonly changedAtMs: number
  /** How its task ended; null while it has not. */
  readonly taskState: EndState | null
  /** Oldest first. */
  readonly attempts: readonly CallbackAttempt[]
}

export const CALLBACKS_PER_TASK_MAX = 5
export const CALLBACK_ATTEMPTS_KEPT = 20
export const CALLBACKS_LISTED_DEFAULT = 100
export const CALLBACKS_LISTED_MAX = 1_000
/** How long it is kept that a receiver has said 410. */
export const CALLBACK_DISABLED_KEPT_MS = 90 * 24 * 3600 * 1000
