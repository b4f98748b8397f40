import { Type } from 'typebox'
import { defineEvent } from '../src/define-event.ts'

/** Two events and two versions of one, for tests. */
export const created = defineEvent('user_account_created', {
  topic: 'accounts',
  key: ({ userId }) => userId,
  schema: Type.Object({ userId: Type.String(), email: Type.String({ format: 'email' }) }),
})
export const createdV2 = defineEvent('user_account_created', {
  version: 2,
  topic: 'accounts',
  key: ({ userId }) => userId,
  schema: Type.Object({ userId: Type.String(), address: Type.Object({ email: Type.String() }) }),
})
export const verified = defineEvent('user_account_verified', {
  topic: 'accounts',
  key: ({ userId }) => userId,
  schema: Type.Object({ userId: Type.String() }),
})

export const EMAIL = 'ada@example.com'

/** For tests that share a Kafka: a topic of their own. */
export function countedOn(topic: string) {
  return defineEvent('counted', {
    topic,
    key: ({ counter }) => counter,
    schema: Type.Object({ counter: Type.String(), value: Type.Integer() }),
  })
}
