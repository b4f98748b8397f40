import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { DueCallback, TakeCallbacks } from '../callbacks.ts'
import { type CallbackColumns, dueCallback } from './callback-columns.ts'

/** Which callbacks are due, host by host. Used inside the caller's transaction. */
export class CallbackHandOut {
  readonly #firstHost: StatementSync
  readonly #nextHost: StatementSync
  readonly #held: StatementSync
  readonly #due: StatementSync
  readonly #take: StatementSync

  constructor(database: DatabaseSync) {
    this.#firstHost = database.prepare("SELECT host FROM callbacks WHERE state = 'due' ORDER BY host LIMIT 1")
    this.#nextHost = database.prepare(
      "SELECT host FROM callbacks WHERE state = 'due' AND host > ? ORDER BY host LIMIT 1",
    )
    this.#held = database.prepare(
      'SELECT count(*) AS count FROM callbacks WHERE taker IS NOT NULL AND host = ? AND wake_at_ms > ?',
    )
    this.#due = database.prepare(
      `SELECT seq, wake_at_ms FROM callbacks WHERE state = 'due' AND host = ? AND wake_at_ms <= ?
       ORDER BY wake_at_ms, seq LIMIT ?`,
    )
    this.#take = database.prepare('UPDATE callbacks SET taker = ?, wake_at_ms = ? WHERE seq = ? RETURNING *')
  }

  /** One step through the index for each host, however many of its callbacks are due: none keeps the others from coming. */
  take({ countMax, perHostMax, leaseMs, taker }: TakeCallbacks, nowMs: number): readonly DueCallback[] {
    if (countMax <= 0) return []
    const found: Candidate[] = []
    let row = this.#firstHost.get()
    while (row !== undefined) {
      const host = row.host as string
      const room = perHostMax - (this.#held.get(host, nowMs)!.count as number)
      const limit = Math.trunc(Math.min(room, countMax))
      if (limit > 0) found.push(...(this.#due.all(host, nowMs, limit) as unknown as Candidate[]))
      row = this.#nextHost.get(host)
    }
    found.sort((a, b) => a.wake_at_ms - b.wake_at_ms || a.seq - b.seq)
    const untilMs = Math.min(nowMs + Math.ceil(leaseMs), Number.MAX_SAFE_INTEGER)
    return found
      .slice(0, countMax)
      .map(({ seq }) => dueCallback(this.#take.get(taker, untilMs, seq) as unknown as CallbackColumns))
  }
}

interface Candidate {
  readonly seq: number
  readonly wake_at_ms: number
}
