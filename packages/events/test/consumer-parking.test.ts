import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { systemClock } from '@forebay/broker'
import { embeddedStore } from '@forebay/server'
import { RetryError } from '../src/handler-errors.ts'
import { openRig, until } from './event-rig.ts'
import { verified } from './some-events.ts'

test('long waits leave the window for the store, with their key behind them, and are never written to the topic again', async () => {
  await using rig = await openRig()
  await using store = await openStore(rig.dir)
  const seen: string[] = []
  const consumer = await rig.consume({
    store,
    retry: { attemptsMax: 5, withinMs: 600_000 },
    events: [verified],
    handlers: {
      user_account_verified: ({ id, key }, { attempt }) => {
        seen.push(`${id} ${attempt}`)
        // Longer than a wait that stays in the window.
        if (key === 'late' && attempt === 1 && id === 'late-0') throw new RetryError('later', { afterMs: 5_100 })
      },
    },
  })
  await rig.verify('late', 'late', 'other')
  await until(() => consumer.counts.parked === 2)
  assert.deepEqual(seen.toSorted(), ['late-0 1', 'other-2 1'])
  await until(() => consumer.counts.handled === 3)
  assert.deepEqual(seen.slice(-2), ['late-0 2', 'late-1 1'])
  await consumer.stop()
  assert.deepEqual(await rig.committed(), [3])
  const [{ end } = { end: 0 }] = await rig.log.broker.inspect({ topics: ['accounts'] })
  assert.equal(end, 3)
})

test('attempts that are used up park their key where that is asked for', async () => {
  await using rig = await openRig()
  await using store = await openStore(rig.dir)
  const seen: string[] = []
  const consumer = await rig.consume({
    store,
    onExhausted: 'park',
    retry: { attemptsMax: 1 },
    events: [verified],
    handlers: {
      user_account_verified: ({ id, key }) => {
        seen.push(id)
        if (key === 'bad') throw new Error('no')
      },
    },
  })
  await rig.verify('bad', 'bad', 'good')
  await until(() => consumer.counts.parked === 2 && consumer.counts.handled === 1)
  const { rows } = await store.parking!.list({ limit: 10 })
  assert.deepEqual(rows.map(({ queue, reason, line }) => [queue, reason, line]).toSorted(), [
    ['mails.accounts', 'behind', 'bad'],
    ['mails.accounts', 'exhausted', 'bad'],
  ])
  assert.deepEqual(seen.toSorted(), ['bad-0', 'good-2'])
  await consumer.stop()
})

async function openStore(dir: string) {
  const store = embeddedStore({ dir: join(dir, 'store'), clock: systemClock, retentionMs: 60_000 })
  await store.open()
  return Object.assign(store, { [Symbol.asyncDispose]: () => store.close() })
}
