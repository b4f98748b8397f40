import type { OutboxRows } from '@forebay/events'
import type { Trace } from '../trace.ts'
import type { Account, Decision } from './account.ts'

/** Accounts and what happened to them, in one database. */
export interface AccountStore {
  /**
   * One transaction: reads what there is of the address, while nobody else may change it, and writes what `decide` says
   * together with the event. Rejects as the database does; then it may or may not have happened.
   */
  change<Answer>(address: string, trace: Trace, decide: (found: Account | null) => Decision<Answer>): Promise<Answer>
  /** For the relay, which closes them. */
  outboxRows(): OutboxRows
  /** After the relay. */
  close(): Promise<void>
}

export const SOURCE = '/user-service'
