import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { kafkaBroker } from '@forebay/broker/kafka'
import { useKafka } from '../../../scripts/rig/kafka.ts'
import { temporaryFolder } from './run-forebay.ts'
import { up } from './run-up.ts'

test('topics that several parts of a process name are made once: rows that are collected and kept, messages for a queue', async () => {
  await using kafka = await useKafka()
  using folder = temporaryFolder()
  const tag = randomUUID()
  const config = {
    broker: `kafka://${kafka.bootstrap}`,
    partitions: 2,
    queues: { orders: { topic: `orders-${tag}`, partitions: 3 } },
    edge: {
      topic: `rows-${tag}`,
      logsTopic: `logs-${tag}`,
      produce: [`orders-${tag}`, `rows-${tag}`],
      http: { unix: 'edge.sock' },
      logs: { store: 'local' },
    },
  }
  writeFileSync(join(folder.path, 'forebay.yaml'), JSON.stringify(config))
  await using server = await up(folder.path, ['--roles', 'collector,logs'])
  const broker = kafkaBroker({ bootstrap: [kafka.bootstrap] })
  await broker.open({ topics: [] })
  const topics = [`orders-${tag}`, `rows-${tag}`, `logs-${tag}`]
  const partitions = await broker.inspect({ topics })
  await broker.close()
  const counts = topics.map((name) => partitions.filter(({ topic }) => topic === name).length)
  assert.deepEqual(counts, [3, 2, 2])
  server.child.kill('SIGTERM')
  await server.stopped
})
