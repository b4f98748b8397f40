import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Claim, ClaimKey, Reservation } from '../store.ts'
import type { ClaimAct, ClaimAnswer } from './store-calls.ts'

export interface Now {
  /** By the store's clock. */
  readonly nowMs: number
  /** Only compared with moments of this run. */
  readonly monotonicMs: number
}

/** Who holds which idempotency key. Used inside the caller's transaction. */
export class ReservationRows {
  /** Number of this run of the process: claims of another run are nobody's any more. */
  readonly #run: number
  readonly #claimMs: number
  readonly #get: StatementSync
  readonly #put: StatementSync
  readonly #resume: StatementSync
  readonly #confirm: StatementSync
  readonly #free: StatementSync
  readonly #leave: StatementSync
  readonly #doubt: StatementSync
  readonly #renew: StatementSync

  constructor(database: DatabaseSync, claimMs: number) {
    this.#claimMs = claimMs
    this.#run = database.prepare('UPDATE runs SET run = run + 1 RETURNING run').get()?.run as number
    const byKey = 'WHERE principal = ? AND route = ? AND key = ?'
    this.#get = database.prepare(`SELECT * FROM reservations ${byKey}`)
    this.#put = database.prepare('INSERT OR REPLACE INTO reservations VALUES (?, ?, ?, ?, ?, 0, 0, ?, ?, ?)')
    this.#resume = database.prepare(`UPDATE reservations SET resumed = 1, run = ?, claimed_at_ms = ? ${byKey}`)
    const held = `${byKey} AND task_id = ?`
    this.#confirm = database.prepare(`UPDATE reservations SET kept = 1 ${held} RETURNING resumed`)
    this.#free = database.prepare(`DELETE FROM reservations ${held} AND kept = 0 AND resumed = 0`)
    this.#leave = database.prepare(`UPDATE reservations SET run = ${NO_RUN} ${held} AND kept = 0`)
    this.#doubt = database.prepare(`UPDATE reservations SET run = ${NO_RUN}, resumed = 1 ${held} AND kept = 0`)
    this.#renew = database.prepare(`UPDATE reservations SET claimed_at_ms = ? ${held} AND kept = 0 AND run = ?`)
  }

  act({ act, claim }: ClaimAct, now: Now): ClaimAnswer {
    const held = [...keyOf(claim), claim.taskId] as const
    switch (act) {
      case 'reserve':
        return this.#reserve(claim, now)
      case 'confirm':
        return this.#confirm.get(...held)?.resumed === 0 ? 'sole' : 'shared'
      case 'release':
        if (this.#free.run(...held).changes === 1) return 'sole'
        // Somebody else may have appended it, so its id must stand for the key.
        this.#leave.run(...held)
        return 'shared'
      case 'doubt':
        this.#doubt.run(...held)
        return null
      case 'renew':
        this.#renew.run(now.monotonicMs, ...held, this.#run)
        return null
    }
  }

  #reserve(claim: Claim, now: Now): Reservation {
    const key = keyOf(claim)
    const row = this.#get.get(...key) as unknown as Columns | undefined
    if (row === undefined || row.expires_at_ms <= now.nowMs) {
      const expiresAtMs = Math.min(now.nowMs + claim.windowMs, Number.MAX_SAFE_INTEGER)
      this.#put.run(...key, claim.taskId, claim.fingerprint, this.#run, now.monotonicMs, expiresAtMs)
      return { kind: 'claimed' }
    }
    if (row.fingerprint !== claim.fingerprint) return { kind: 'mismatch' }
    if (row.kept === 1) return { kind: 'kept', taskId: row.task_id }
    const claimedHere = row.run === this.#run
    if (claimedHere && now.monotonicMs - row.claimed_at_ms < this.#claimMs) return { kind: 'in-flight' }
    this.#resume.run(this.#run, now.monotonicMs, ...key)
    return { kind: 'resume', taskId: row.task_id }
  }
}

/** Runs are numbered from 1. */
const NO_RUN = 0

interface Columns {
  readonly task_id: string
  readonly fingerprint: string
  readonly kept: number
  readonly run: number
  readonly claimed_at_ms: number
  readonly expires_at_ms: number
}

function keyOf({ principal, route, key }: ClaimKey): [string, string, string] {
  return [principal, route, key]
}
