import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { kafkaBroker } from '@forebay/broker/kafka'
import { startKafka } from '../../../scripts/rig/kafka.ts'
import { openDeadServer } from './support/dead-server.ts'

const hasKcat = spawnSync('kcat', ['-V'], { stdio: 'ignore' }).status === 0

test('kcat, which knows nothing of us, reads results from a result topic on Kafka', {
  skip: hasKcat ? false : 'kcat is not installed',
  timeout: 60_000,
}, async () => {
  await using kafka = await startKafka()
  const topic = `results-${randomUUID()}`
  const broker = kafkaBroker({ bootstrap: [kafka.bootstrap] })
  await using rig = await openDeadServer({ orders: { resultTopic: topic, partitions: 3 } }, { broker })
  rig.answer = (body) => ({ status: 200, body: `{"did":"${body}"}` })
  const ids = new Map<string, string>()
  for (let number = 0; number < 30; number++) {
    const body = `job-${number}`
    ids.set(await rig.submit('orders', body, { 'forebay-key': `key-${number % 5}` }), body)
  }
  for (const id of ids.keys()) await rig.until(id, 'succeeded')

  const args = ['-C', '-b', kafka.bootstrap, '-t', topic, '-o', 'beginning', '-e', '-q', '-f', '%p|%k|%h|%s\n']
  const { stdout } = await promisify(execFile)('kcat', args)
  const partitions = new Map<string, Set<string>>()
  const told = new Set<string>()
  for (const line of stdout.trim().split('\n')) {
    const [partition, key, headers, value] = line.split('|')
    const of = (name: string) => new RegExp(`(?:^|,)${name}=([^,]*)`).exec(headers!)?.[1]
    const id = of('ce_id')!
    assert.equal(of('ce_specversion'), '1.0')
    assert.equal(of('ce_type'), 'forebay.task.succeeded')
    assert.equal(of('content-type'), 'text/plain')
    assert.equal(value, `{"did":"${ids.get(id)}"}`)
    assert.match(key!, /^key-\d$/)
    told.add(id)
    partitions.set(key!, (partitions.get(key!) ?? new Set()).add(partition!))
  }
  assert.deepEqual(told, new Set(ids.keys()))
  for (const [key, among] of partitions) assert.equal(among.size, 1, key)
})
