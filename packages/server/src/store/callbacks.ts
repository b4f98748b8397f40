import type { EndState } from '../task.ts'

/**
 * Callbacks ("webhooks"): who wants to be called when a task has ended. A row is written before its task is acknowledged,
 * falls due in the transaction that applies the task's first result, and is handed to one gateway at a time under a lease.
 *
 * Times are wall ms of the store's own clock, as with parking.
 */
export interface Callbacks {
  /**
   * Keeps that `url` is to be called when the task has ended; due at once when it has ended already. The same task and URL twice is one
   * row. 'full' when the task has `CALLBACKS_PER_TASK_MAX` others; 'disabled' when the receiver has said 410 to this owner.
   */
  register(callback: CallbackToRegister): Promise<'registered' | 'known' | 'full' | 'disabled'>
  /** The task was certainly not kept. */
  forget(taskId: string): Promise<void>
  /**
   * Hands out what is due, the longest due first, at most `perHostMax` of a host counting those that are handed out already. Each is
   * this caller's for `leaseMs`; then it is due again.
   */
  take(request: TakeCallbacks): Promise<readonly DueCallback[]>
  /**
   * What came of a call; written to the delivery log. False when the lease was lost to another (the row is then as that one leaves it).
   */
  conclude(conclusion: CallbackConclusion): Promise<boolean>
  /** Earliest time at which something falls due, not counting what is handed out; null where nothing waits. */
  nextDueMs(): Promise<number | null>
  list(filter: CallbackFilter): Promise<readonly CallbackView[]>
  /** Makes what the filter names due at once, also what was delivered or given up. Resolves with how many. */
  replay(filter: CallbackFilter): Promise<number>
  /** Lifts what a 410 has disabled: for one URL of one owner. False when nothing was disabled. */
  enable(owner: string, url: string): Promise<boolean>
}

export interface CallbackToRegister {
  /** Names the callback for ever and is the `webhook-id` of every try: 'cb_' and 26 characters. */
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
  /** Calls made before. */
  readonly tries: number
  /** When it first fell due (or was replayed last); wall ms. */
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
    /** 410: the receiver wants nothing more at this URL; the owner's other callbacks to it are disabled too. */
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
  /** Default 100, at most 1,000. */
  readonly countMax?: number
  /** Only those whose last change was at or after this; wall ms. */
  readonly sinceMs?: number
}

/** 'waiting': the task has not ended. 'due': a call is to be made, or made again. */
export type CallbackState = 'waiting' | 'due' | 'delivered' | 'given-up' | 'disabled'

export interface CallbackView extends CallbackToRegister {
  readonly state: CallbackState
  readonly tries: number
  /** With 'due': not before; wall ms. */
  readonly nextAtMs: number | null
  readonly changedAtMs: number
  /** How its task ended; null while it has not. */
  readonly taskState: EndState | null
  /** Oldest first. */
  readonly attempts: readonly CallbackAttempt[]
}

export const CALLBACKS_PER_TASK_MAX = 5
export const CALLBACK_ATTEMPTS_KEPT = 20
