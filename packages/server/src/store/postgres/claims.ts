import type { Claim, ClaimKey, HeldClaim, Reservation, Settlement } from '../store.ts'
import { text, wholeMs } from './columns.ts'
import type { Database } from './database.ts'
import type { ResolvedPostgresStore } from './options.ts'

export type ClaimAct =
  | { readonly act: 'reserve'; readonly claim: Claim }
  | { readonly act: 'confirm' | 'release' | 'doubt' | 'renew'; readonly claim: HeldClaim }

/** Null for acts that there is nothing to say of. */
export type ClaimAnswer = Reservation | Settlement | null

type ClaimCall = (acts: readonly ClaimAct[]) => Promise<readonly ClaimAnswer[]>

/** Acts on reservations in one statement; what happens to one key happens in the order given. */
export function claimCall(
  database: Database,
  { schema, claimMs }: ResolvedPostgresStore,
  run: string,
  now: () => number | null,
): ClaimCall {
  return async (acts) => {
    const asked = acts.map((one, index) => ({ ...one, index })).sort((a, b) => compareKeys(a.claim, b.claim))
    const reserved = asked.map((one) => (one.act === 'reserve' ? one.claim : null))
    const call = `SELECT * FROM ${schema}.hold_claims($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`
    const rows = await database.rows<Answer>(call, [
      now(),
      run,
      claimMs,
      asked.map((one) => one.act),
      asked.map(({ claim }) => text(claim.principal)),
      asked.map(({ claim }) => text(claim.route)),
      asked.map(({ claim }) => text(claim.key)),
      asked.map(({ claim }) => text(claim.taskId)),
      reserved.map((claim) => (claim === null ? null : text(claim.fingerprint))),
      reserved.map((claim) => (claim === null ? null : wholeMs(claim.windowMs))),
    ])
    const answers: ClaimAnswer[] = []
    for (const [index, one] of asked.entries()) answers[one.index] = answerOf(rows[index]!)
    return answers
  }
}

interface Answer {
  readonly kind: Reservation['kind'] | Settlement | null
  readonly task_id: string | null
}

function answerOf({ kind, task_id: taskId }: Answer): ClaimAnswer {
  if (kind === 'kept' || kind === 'resume') return { kind, taskId: taskId! }
  return kind === null || kind === 'sole' || kind === 'shared' ? kind : { kind }
}

/** Any order does that is the same for everybody. */
function compareKeys(a: ClaimKey, b: ClaimKey): number {
  return compare(a.principal, b.principal) || compare(a.route, b.route) || compare(a.key, b.key)
}

function compare(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}
