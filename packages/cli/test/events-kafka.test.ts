import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { kafkaBroker } from '@forebay/broker/kafka'
import { startKafka } from '../../../scripts/rig/kafka.ts'
import { forebay } from './run-forebay.ts'

const kafka = await startKafka()
after(() => kafka[Symbol.asyncDispose]())

test('events are published to Kafka and tailed from it without any server of ours; what is not there is said at once', async () => {
  const topic = 'forebay.events.clicked'
  const broker = kafkaBroker({ bootstrap: [kafka.bootstrap] })
  await broker.open({ topics: [{ name: topic, partitions: 2, retentionMs: 3_600_000 }] })
  await broker.close()
  const flags = ['--broker', `kafka://${kafka.bootstrap}`]
  const published = await forebay([
    'events',
    'publish',
    'clicked',
    '-d',
    '{"n": 1}',
    '--id',
    'e-1',
    '-k',
    'k',
    ...flags,
  ])
  assert.match(published.stdout, /^forebay\.events\.clicked\/\d\/0 {2}e-1\n$/, published.stderr)
  const tailed = await forebay(['events', 'tail', 'clicked', '--no-follow', '--where', 'id=e-1', ...flags])
  assert.match(tailed.stdout, /Z {2}clicked {2}k {2}e-1 {2}\{"n": 1\}\n$/, tailed.stderr)
  const absent = await forebay(['events', 'dead', 'list', '--group', 'mail', '--topic', 'clicked', ...flags])
  assert.equal(absent.code, 3, absent.stderr)
  assert.match(absent.stderr, /No group mail has read forebay\.events\.clicked so far/)
})
