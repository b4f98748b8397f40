import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startKafka } from '../../../scripts/rig/kafka.ts'
import { PublishError } from '../src/broker.ts'
import { kafkaBroker } from '../src/kafka/kafka.ts'

const TOPIC = 'failover'

test('of three brokers one is killed and one paused, in turn: all that was acknowledged is heard, and neither stops the flow', {
  timeout: 240_000,
}, async () => {
  await using kafka = await startKafka({
    brokers: 3,
    extra: { 'broker.session.timeout.ms': '3000', 'broker.heartbeat.interval.ms': '500' },
  })
  const broker = kafkaBroker({ bootstrap: kafka.bootstrap.split(','), publishTimeoutMs: 20_000 })
  await broker.open({ topics: [{ name: TOPIC, partitions: 3, retentionMs: 3_600_000 }] })
  const acknowledged = new Set<string>()
  const heard = new Map<string, string>()
  const listeners = await Promise.all(
    [0, 1, 2].map((partition) => broker.listen({ topic: TOPIC, partition, from: 'earliest' })),
  )
  const hearing = listeners.map(async (listener) => {
    let last = -1
    for await (const records of listener) {
      for (const { partition, offset, value } of records) {
        assert.ok(offset > last)
        last = offset
        heard.set(`${partition}/${offset}`, String(value))
      }
    }
  })

  let running = true
  let failed = 0
  const publishing = Array.from({ length: 8 }, async (_, who) => {
    for (let nth = 0; running; nth++) {
      const value = Buffer.from(`${who}-${nth}`)
      try {
        const [position] = await broker.publish([{ topic: TOPIC, key: value, value, headers: [] }])
        acknowledged.add(`${position!.partition}/${position!.offset} ${value}`)
      } catch (error) {
        assert.ok(error instanceof PublishError, String(error))
        failed += error.failed.length
      }
      await sleep(1)
    }
  })
  const acknowledgedMore = async (more: number) => {
    const goal = acknowledged.size + more
    while (acknowledged.size < goal) await sleep(20)
  }
  await acknowledgedMore(1000)
  await kafka.kill(0)
  await acknowledgedMore(1000)
  await kafka.restart()
  await acknowledgedMore(1000)
  kafka.pause(1)
  await acknowledgedMore(1000)
  kafka.resume(1)
  await acknowledgedMore(1000)
  running = false
  await Promise.all(publishing)

  for (const one of acknowledged) {
    const [position, value] = one.split(' ')
    while (!heard.has(position!)) await sleep(10)
    assert.equal(heard.get(position!), value)
  }
  assert.ok(acknowledged.size >= 5000)
  assert.equal(failed, 0, 'a publish outlasts the loss of one broker of three')
  await broker.close()
  await Promise.all(hearing)
})
