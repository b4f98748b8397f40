import type { DatabaseSync, StatementSync } from 'node:sqlite'
import {
  CALLBACK_ATTEMPTS_KEPT,
  CALLBACK_DISABLED_KEPT_MS,
  CALLBACKS_PER_TASK_MAX,
  type CallbackAttempt,
  type CallbackConclusion,
  type CallbackToRegister,
} from '../callbacks.ts'
import type { TaskRow } from './batch-codec.ts'
import type { CallbackAct, CallbackAnswer } from './callback-calls.ts'
import type { CallbackColumns } from './callback-columns.ts'
import { CallbackHandOut } from './callback-hand-out.ts'
import { CallbackWishes } from './callback-wishes.ts'
import { ENDED } from './row-states.ts'

/** Who wants to be called. Used inside the caller's transaction. */
export class CallbackRows {
  readonly #handOut: CallbackHandOut
  readonly #wishes: CallbackWishes
  readonly #disabled: StatementSync
  readonly #keepLonger: StatementSync
  readonly #countOf: StatementSync
  readonly #endOf: StatementSync
  readonly #insert: StatementSync
  readonly #forget: StatementSync
  readonly #ended: StatementSync
  readonly #held: StatementSync
  readonly #conclude: StatementSync
  readonly #disable: StatementSync
  readonly #disableOthers: StatementSync
  readonly #any: StatementSync
  readonly #removeKept: StatementSync
  readonly #removeDone: StatementSync
  readonly #removeDisabled: StatementSync
  /** Spares each result a look where nobody is to be called. True where that is not certain. */
  #mayHaveRows: boolean

  constructor(database: DatabaseSync) {
    this.#handOut = new CallbackHandOut(database)
    this.#wishes = new CallbackWishes(database)
    this.#disabled = database.prepare('SELECT 1 FROM disabled_receivers WHERE owner = ? AND url = ?')
    this.#keepLonger = database.prepare(
      'UPDATE callbacks SET keep_until_ms = max(keep_until_ms, ?) WHERE task_id = ? AND url = ?',
    )
    this.#countOf = database.prepare('SELECT count(*) AS count FROM callbacks WHERE task_id = ?')
    this.#endOf = database.prepare(`SELECT generation, state FROM tasks WHERE task_id = ? AND ended = ${ENDED}`)
    this.#insert = database.prepare(
      `INSERT INTO callbacks (id, task_id, owner, queue, url, host, keep_until_ms, state, generation, task_state, tries,
         due_since_ms, wake_at_ms, changed_at_ms, attempts)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, '[]')`,
    )
    this.#forget = database.prepare("DELETE FROM callbacks WHERE task_id = ? AND state = 'waiting'")
    this.#ended = database.prepare(
      `UPDATE callbacks SET generation = ?1, task_state = ?2, tries = 0, due_since_ms = ?3, wake_at_ms = ?3, taker = NULL,
         changed_at_ms = ?3, state = iif(EXISTS (SELECT 1 FROM disabled_receivers AS receiver
           WHERE receiver.owner = callbacks.owner AND receiver.url = callbacks.url), 'disabled', 'due')
       WHERE task_id = ?4 AND coalesce(generation, -1) < ?1`,
    )
    this.#held = database.prepare('SELECT * FROM callbacks WHERE id = ? AND taker = ?')
    this.#conclude = database.prepare(
      `UPDATE callbacks SET state = ?, wake_at_ms = ?, taker = NULL, tries = tries + 1, attempts = ?, changed_at_ms = ?
       WHERE seq = ?`,
    )
    this.#disable = database.prepare(
      'INSERT INTO disabled_receivers VALUES (?, ?, ?) ON CONFLICT (owner, url) DO UPDATE SET at_ms = excluded.at_ms',
    )
    this.#disableOthers = database.prepare(
      `UPDATE callbacks SET state = 'disabled', taker = NULL, changed_at_ms = ?
       WHERE owner = ? AND url = ? AND state IN ('waiting', 'due')`,
    )
    this.#any = database.prepare('SELECT 1 FROM callbacks LIMIT 1')
    // What the conditions say of states is to the letter what the indexes say.
    this.#removeKept = database.prepare(
      `DELETE FROM callbacks WHERE seq IN (SELECT seq FROM callbacks
       WHERE state IN ('waiting', 'due', 'disabled') AND keep_until_ms <= ? LIMIT ${SLICE_ROWS_MAX})`,
    )
    this.#removeDone = database.prepare(
      `DELETE FROM callbacks WHERE seq IN (SELECT seq FROM callbacks
       WHERE state IN ('delivered', 'given-up') AND changed_at_ms < ? LIMIT ${SLICE_ROWS_MAX})`,
    )
    this.#removeDisabled = database.prepare(
      `DELETE FROM disabled_receivers WHERE (owner, url) IN
       (SELECT owner, url FROM disabled_receivers WHERE at_ms < ? LIMIT ${SLICE_ROWS_MAX})`,
    )
    this.#mayHaveRows = this.#any.get() !== undefined
  }

  act(act: CallbackAct, nowMs: number): CallbackAnswer {
    switch (act.act) {
      case 'register':
        return { kind: 'registered', outcome: this.#register(act.callback, nowMs) }
      case 'forget':
        this.#forget.run(act.taskId)
        return { kind: 'forgotten' }
      case 'take':
        return { kind: 'taken', rows: this.#handOut.take(act.request, nowMs) }
      case 'conclude':
        return { kind: 'concluded', held: this.#concludeHeld(act.conclusion, nowMs) }
      case 'replay':
        return { kind: 'replayed', count: this.#wishes.replay(act.filter, nowMs) }
      case 'enable':
        return { kind: 'enabled', enabled: this.#wishes.enable(act.owner, act.url, nowMs) }
    }
  }

  /** The row is the first end of its generation. */
  ended({ taskId, generation, state }: TaskRow, nowMs: number): void {
    if (this.#mayHaveRows) this.#ended.run(generation, state, nowMs, taskId)
  }

  /** A slice; how many went. */
  sweep(nowMs: number, doneBeforeMs: number): number {
    let removed = Number(this.#removeDisabled.run(nowMs - CALLBACK_DISABLED_KEPT_MS).changes)
    if (!this.#mayHaveRows) return removed
    removed += Number(this.#removeKept.run(nowMs).changes)
    removed += Number(this.#removeDone.run(doneBeforeMs).changes)
    return removed
  }

  /** Outside of a transaction: what is seen is certain. */
  look(): void {
    this.#mayHaveRows = this.#any.get() !== undefined
  }

  #register(callback: CallbackToRegister, nowMs: number): 'registered' | 'known' | 'full' | 'disabled' {
    const { id, taskId, owner, queue, url, host } = callback
    if (this.#disabled.get(owner, url) !== undefined) return 'disabled'
    const keepUntilMs = Math.min(Math.ceil(callback.keepUntilMs), Number.MAX_SAFE_INTEGER)
    if (this.#keepLonger.run(keepUntilMs, taskId, url).changes === 1) return 'known'
    if ((this.#countOf.get(taskId)!.count as number) >= CALLBACKS_PER_TASK_MAX) return 'full'
    const end = this.#endOf.get(taskId)
    const state = end === undefined ? 'waiting' : 'due'
    const known = [end?.generation ?? null, end?.state ?? null] as const
    this.#insert.run(id, taskId, owner, queue, url, host, keepUntilMs, state, ...known, nowMs, nowMs, nowMs)
    this.#mayHaveRows = true
    return 'registered'
  }

  #concludeHeld({ id, taker, attempt, then }: CallbackConclusion, nowMs: number): boolean {
    const row = this.#held.get(id, taker) as CallbackColumns | undefined
    if (row === undefined) return false
    const { seq, owner, url } = row
    const attempts = [...(JSON.parse(row.attempts) as CallbackAttempt[]), attempt].slice(-CALLBACK_ATTEMPTS_KEPT)
    const state = then.kind === 'again' ? 'due' : then.kind
    const waitMs = then.kind === 'again' ? Math.ceil(then.inMs) : 0
    const wakeAtMs = Math.min(nowMs + waitMs, Number.MAX_SAFE_INTEGER)
    this.#conclude.run(state, wakeAtMs, JSON.stringify(attempts), nowMs, seq)
    if (then.kind !== 'disabled') return true
    this.#disable.run(owner, url, nowMs)
    this.#disableOthers.run(nowMs, owner, url)
    return true
  }
}

const SLICE_ROWS_MAX = 4_000
