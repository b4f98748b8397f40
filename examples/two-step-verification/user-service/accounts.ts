import { randomUUID } from 'node:crypto'
import type { Clock } from '@forebay/broker'
import type { Trace } from '../trace.ts'
import { type Registration, register, resend, type Verdict, verify } from './account.ts'
import type { AccountStore } from './account-store.ts'
import type { CodeMaker } from './verification-code.ts'

/** What can be done with accounts: the rules of account.ts, each in one transaction of the store. */
export interface Accounts {
  register(registration: Registration, trace: Trace): Promise<void>
  resend(address: string, trace: Trace): Promise<void>
  verify(address: string, code: string, trace: Trace): Promise<Verdict>
}

export function createAccounts(store: AccountStore, codes: CodeMaker, clock: Clock): Accounts {
  const context = () => ({ nowMs: clock.wallMs(), codes, newUserId: randomUUID() })
  return {
    async register(registration, trace) {
      await store.change(registration.address, trace, (found) => register(found, registration, context()))
    },
    async resend(address, trace) {
      await store.change(address, trace, (found) => resend(found, context()))
    },
    verify: (address, code, trace) => store.change(address, trace, (found) => verify(found, code, context())),
  }
}
