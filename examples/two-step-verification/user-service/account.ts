import type { EventDefinition, EventToPublish } from '@forebay/events'
import { userAccountCreated, userAccountVerified, verificationCodeRenewed } from '../events.ts'
import type { CodeMaker, NewCode, StoredCode } from './verification-code.ts'

/**
 * The rules of an account, without database and time: each function gets what is stored of one address, and says what is
 * stored from now on, what happened, and what is answered.
 */
export interface Account {
  readonly userId: string
  /** In one spelling: what makes an account the same. */
  readonly address: string
  /** As it was given: where mails go. */
  readonly email: string
  readonly firstName: string
  readonly lastName: string
  readonly verifiedMs: number | null
  /** One at a time: a new one takes the place of the one before. */
  readonly code: StoredCode
  /** When codes were made within the last hour. Wall ms */
  readonly codesMadeMs: readonly number[]
}

export interface Decision<Answer> {
  /** Null: there is no account, and none is made. */
  readonly account: Account | null
  readonly happened: Happened | null
  readonly answer: Answer
}

export interface Registration {
  readonly address: string
  readonly email: string
  readonly firstName: string
  readonly lastName: string
}

export type Verdict = 'verified' | 'wrong'

/** The first, and three more on demand. */
export const CODES_AN_HOUR_MAX = 4
const HOUR_MS = 3_600_000

/** To whoever asks, all cases look the same. */
export function register(
  found: Account | null,
  registration: Registration,
  context: { readonly newUserId: string; readonly nowMs: number; readonly codes: CodeMaker },
): Decision<'accepted'> {
  const { nowMs, codes, newUserId } = context
  // Made in any case, so that no case is the quick one.
  const userId = found?.userId ?? newUserId
  const code = codes.make(userId, nowMs)
  if (found === null) {
    const account = { userId, ...registration, verifiedMs: null, code: code.stored, codesMadeMs: [nowMs] }
    const { firstName, lastName, email } = registration
    const data = { userId, email, firstName, lastName, code: code.sealed }
    return { account, happened: happened(userAccountCreated, data), answer: 'accepted' }
  }
  // Whoever enters the code of this registration confirms the names of this registration.
  return renew(found, { ...found, ...registration }, code, nowMs)
}

/** A new code for an address that waits for one. */
export function resend(
  found: Account | null,
  { nowMs, codes, newUserId }: { readonly newUserId: string; readonly nowMs: number; readonly codes: CodeMaker },
): Decision<'accepted'> {
  const code = codes.make(found?.userId ?? newUserId, nowMs)
  if (found === null) return { account: null, happened: null, answer: 'accepted' }
  return renew(found, found, code, nowMs)
}

export function verify(
  found: Account | null,
  given: string,
  { nowMs, codes }: { readonly nowMs: number; readonly codes: CodeMaker },
): Decision<Verdict> {
  const isRight = codes.matches(found, given)
  if (found === null) return { account: null, happened: null, answer: 'wrong' }
  const { code, userId, email, firstName } = found
  const isOver = code.attemptsLeft === 0 || nowMs >= code.expiresMs
  if (isOver) return { account: found, happened: null, answer: 'wrong' }
  if (!isRight) {
    const account = { ...found, code: { ...code, attemptsLeft: code.attemptsLeft - 1 } }
    return { account, happened: null, answer: 'wrong' }
  }
  // The first answer may have been lost on its way; whoever asks again with the right code gets it once more.
  if (found.verifiedMs !== null) return { account: found, happened: null, answer: 'verified' }
  const data = { userId, email, firstName, verifiedAt: new Date(nowMs).toISOString() }
  return {
    account: { ...found, verifiedMs: nowMs },
    happened: happened(userAccountVerified, data),
    answer: 'verified',
  }
}

/** Something to publish, whatever its type. */
export interface Happened {
  publishBy<Result>(publish: Publish<Result>): Result
}

export type Publish<Result> = <Data>(definition: EventDefinition<string, Data>, event: EventToPublish<Data>) => Result

function renew(found: Account, renewed: Account, { stored, sealed }: NewCode, nowMs: number): Decision<'accepted'> {
  const recent = found.codesMadeMs.filter((madeMs) => madeMs > nowMs - HOUR_MS)
  if (found.verifiedMs !== null || recent.length >= CODES_AN_HOUR_MAX) {
    return { account: { ...found, codesMadeMs: recent }, happened: null, answer: 'accepted' }
  }
  const { userId, email, firstName } = renewed
  return {
    account: { ...renewed, code: stored, codesMadeMs: [...recent, nowMs] },
    happened: happened(verificationCodeRenewed, { userId, email, firstName, code: sealed }),
    answer: 'accepted',
  }
}

function happened<Data>(definition: EventDefinition<string, Data>, data: Data): Happened {
  return { publishBy: (publish) => publish(definition, { data }) }
}
