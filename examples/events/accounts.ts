import { defineEvent } from '@forebay/events'
import { Type } from 'typebox'

/** What services tell each other of accounts. They share this file, and nothing else. */
export const accountCreated = defineEvent('account_created', {
  description: 'Somebody registered.',
  topic: 'accounts',
  key: ({ userId }) => userId,
  schema: Type.Object({ userId: Type.String(), name: Type.String(), email: Type.String({ format: 'email' }) }),
})

export const accountClosed = defineEvent('account_closed', {
  description: 'An account is no more.',
  topic: 'accounts',
  key: ({ userId }) => userId,
  schema: Type.Object({ userId: Type.String() }),
})
