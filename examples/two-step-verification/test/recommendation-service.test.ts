import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createProducer } from '@forebay/events'
import { ACCOUNT_EVENTS, userAccountVerified } from '../events.ts'
import { ADA, openRig, until } from './rig.ts'

test('a service that came later knows everybody from the beginning, once, and is told of nobody who is not verified', async () => {
  await using rig = await openRig()
  await using producer = await createProducer({ broker: rig.log, source: '/user-service', events: ACCOUNT_EVENTS })
  const users = await rig.users()
  await users.register(ADA)
  const verifiedAt = new Date().toISOString()
  const publish = (userId: string) => {
    const data = { userId, email: `${userId}@example.com`, firstName: `Name of ${userId}`, verifiedAt }
    return producer.publish(userAccountVerified, { data, id: `e-${userId}` })
  }
  const early = Array.from({ length: 150 }, (_, index) => `early-${index}`)
  await Promise.all(early.map(publish))

  const { url } = await rig.recommendations()
  const listed = async (after = 0) => {
    const response = await fetch(`${url}/api/recommendations?after=${after}`)
    return (await response.json()) as Listed
  }
  await until(async () => (await listed()).total === early.length)
  await Promise.all(['early-7', 'late'].map(publish))
  await until(async () => (await listed()).total === early.length + 1)

  const first = await listed()
  const second = await listed(first.next)
  const ids = [...first.readers, ...second.readers].map(({ userId }) => userId)
  assert.deepEqual(ids.toSorted(), [...early, 'late'].toSorted())
  assert.ok(first.readers.every(({ books }) => books.length === 3))
})

interface Listed {
  readonly total: number
  readonly next?: number
  readonly readers: readonly { readonly userId: string; readonly books: readonly string[] }[]
}
