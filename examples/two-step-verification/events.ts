import { defineEvent } from '@forebay/events'
import { Type } from 'typebox'

/** What the services tell each other. They share this file and sealed-code.ts, and nothing else. */

const TOPIC = 'accounts'
const userId = Type.String({ minLength: 1, maxLength: 100 })
const email = Type.String({ format: 'email', maxLength: 254 })
const firstName = Type.String({ minLength: 1, maxLength: 100 })

/** Nobody but the service that has the private key can read the code, however long the log keeps the event. */
const sealedCode = Type.Object({
  codeId: Type.String({ minLength: 1, maxLength: 100 }),
  keyId: Type.String({ minLength: 1, maxLength: 100 }),
  sealed: Type.String({ minLength: 1, maxLength: 2_000, contentEncoding: 'base64' }),
  expiresAt: Type.String({ format: 'date-time' }),
})

export const userAccountCreated = defineEvent('user_account_created', {
  description: 'Somebody registered; the address is not verified yet.',
  topic: TOPIC,
  key: (data) => data.userId,
  schema: Type.Object({ userId, email, firstName, lastName: firstName, code: sealedCode }),
})

export const verificationCodeRenewed = defineEvent('verification_code_renewed', {
  description: 'A new code was asked for; the one before is void.',
  topic: TOPIC,
  key: (data) => data.userId,
  schema: Type.Object({ userId, email, firstName, code: sealedCode }),
})

export const userAccountVerified = defineEvent('user_account_verified', {
  description: 'The address belongs to whoever registered it.',
  topic: TOPIC,
  key: (data) => data.userId,
  schema: Type.Object({ userId, email, firstName, verifiedAt: Type.String({ format: 'date-time' }) }),
})

/** All that user-service publishes. */
export const ACCOUNT_EVENTS = [userAccountCreated, verificationCodeRenewed, userAccountVerified] as const
