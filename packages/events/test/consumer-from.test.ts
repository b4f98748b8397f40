import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ConsumerOptions } from '../src/consumer-options.ts'
import { openRig, until } from './event-rig.ts'
import { verified } from './some-events.ts'

test('a new group begins at the earliest event, at a time, or at what comes from then on; an old one goes on where it was', async () => {
  await using rig = await openRig()
  await rig.verify('old')
  const [first] = await rig.read('accounts', 1)
  while (Date.now() <= first!.timestampMs) await new Promise((resolve) => setTimeout(resolve, 1))
  await rig.verify('young')
  const [, young] = await rig.read('accounts', 2)
  const seen: string[] = []
  const start = (group: string, from?: NonNullable<ConsumerOptions['from']>) =>
    rig.consume({
      group,
      ...(from === undefined ? {} : { from }),
      events: [verified],
      handlers: { user_account_verified: ({ key }) => seen.push(key!) },
    })
  const mails = await start('mails', { timeMs: young!.timestampMs })
  await until(() => mails.counts.handled === 1)
  assert.deepEqual(seen.splice(0), ['young'])
  await mails.stop()
  const others = await start('others', 'latest')
  await rig.verify('new')
  await until(() => others.counts.handled === 1)
  assert.deepEqual(seen.splice(0), ['new'])
  await others.stop()
  const again = await start('mails', 'earliest')
  await until(() => again.counts.handled === 1)
  assert.deepEqual(seen.splice(0), ['new'])
})

test('a place that is none is refused', async () => {
  await using rig = await openRig()
  const options = { events: [verified], handlers: { user_account_verified: () => {} } }
  await assert.rejects(rig.consume({ ...options, from: { timeMs: Number.NaN } }), /from: use 'earliest', 'latest' or/)
  await assert.rejects(rig.consume({ ...options, from: 'yesterday' as 'latest' }), { code: 'CONFIG_INVALID' })
})
