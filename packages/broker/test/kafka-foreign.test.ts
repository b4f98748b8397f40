import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { Admin, Producer } from '@platformatic/kafka'
import { useKafka } from '../../../scripts/rig/kafka.ts'
import { type Broker, type LogRecord, PublishError } from '../src/broker.ts'
import { kafkaBroker } from '../src/kafka/kafka.ts'

describe('records of other producers', { timeout: 60_000 }, () => {
  let kafka: Awaited<ReturnType<typeof useKafka>>
  let broker: Broker
  before(async () => {
    kafka = await useKafka()
    broker = kafkaBroker({ bootstrap: [kafka.bootstrap], commitIntervalMs: 20 })
    await broker.open({ topics: [] })
  })
  after(async () => {
    await broker.close()
    await kafka[Symbol.asyncDispose]()
  })

  async function newTopic(): Promise<string> {
    const name = `foreign-${randomUUID()}`
    const maker = kafkaBroker({ bootstrap: [kafka.bootstrap] })
    await maker.open({ topics: [{ name, partitions: 1, retentionMs: 3_600_000 }] })
    await maker.close()
    return name
  }

  test('every compression of Kafka is read', async () => {
    const topic = await newTopic()
    const producer = new Producer({ clientId: 'foreign', bootstrapBrokers: [kafka.bootstrap] })
    const compressions = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
    for (const compression of compressions) {
      const messages = Array.from({ length: 50 }, (_, nth) => ({
        topic,
        partition: 0,
        key: Buffer.from(compression),
        value: Buffer.from(`${nth}`.repeat(20)),
        headers: new Map([[Buffer.from('how'), Buffer.from(compression)]]),
      }))
      await producer.send({ messages, acks: -1, compression })
    }
    await producer.close()
    const read = await readUntil(topic, compressions.length * 50 - 1)
    assert.equal(read.length, compressions.length * 50)
    for (const [index, { key, value, headers, offset }] of read.entries()) {
      assert.equal(offset, index)
      assert.equal(String(key), compressions[Math.floor(index / 50)])
      assert.equal(String(value), `${index % 50}`.repeat(20))
      assert.deepEqual(
        headers.map(([name, content]) => [name, String(content)]),
        [['how', String(key)]],
      )
    }
    // From the middle of a compressed batch too.
    const listener = await broker.listen({ topic, partition: 0, from: 75 })
    const first = (await listener[Symbol.asyncIterator]().next()).value[0]
    assert.equal(first.offset, 75)
    await listener.close()
  })

  test('what a transaction took back is not delivered, its markers stall nothing, and positions pass them', async () => {
    const topic = await newTopic()
    const group = topic
    const producer = new Producer({
      clientId: 'foreign',
      bootstrapBrokers: [kafka.bootstrap],
      idempotent: true,
      transactionalId: topic,
    })
    const send = (value: string) => ({ topic, partition: 0, value: Buffer.from(value) })
    for (const [value, end] of [
      ['kept-1', 'commit'],
      ['taken-back', 'abort'],
      ['kept-2', 'commit'],
    ] as const) {
      const transaction = await producer.beginTransaction()
      await transaction.send({ messages: [send(value), send(value)], acks: -1 })
      await transaction[end]()
    }
    await producer.close()
    const [last] = await broker.publish([{ topic, partition: 0, key: null, value: Buffer.from('ours'), headers: [] }])

    const values: string[] = []
    const subscription = await broker.consume({ topics: [topic], group })
    for await (const { deliveries } of subscription) {
      for (const delivery of deliveries) {
        values.push(String(delivery.record.value))
        delivery.settle()
      }
      if (values.at(-1) === 'ours') break
    }
    assert.deepEqual(values, ['kept-1', 'kept-1', 'kept-2', 'kept-2', 'ours'])
    const [state] = await broker.inspect({ topics: [topic], group })
    assert.equal(state!.committed, last!.offset + 1)
    assert.equal(state!.end, last!.offset + 1)
  })

  test("a topic with a smaller limit than ours takes a large call in pieces, and refuses the one record it can't take", async () => {
    const topic = `small-${randomUUID()}`
    const admin = new Admin({ clientId: 'foreign', bootstrapBrokers: [kafka.bootstrap] })
    await admin.createTopics({
      topics: [topic],
      partitions: 1,
      replicas: 1,
      configs: [{ name: 'max.message.bytes', value: '50000' }],
    })
    await admin.close()
    const record = (bytes: number) => ({ topic, partition: 0, key: null, value: Buffer.alloc(bytes, 'x'), headers: [] })
    const positions = await broker.publish(Array.from({ length: 100 }, (_, nth) => record(4000 + nth)))
    assert.deepEqual(
      positions.map(({ offset }) => offset),
      Array.from({ length: 100 }, (_, nth) => nth),
    )
    const read = await readUntil(topic, 99)
    assert.deepEqual(
      read.map(({ value }) => value!.length),
      Array.from({ length: 100 }, (_, nth) => 4000 + nth),
    )
    const error = await broker.publish([record(10), record(100_000), record(20)]).catch((thrown: unknown) => thrown)
    assert.ok(error instanceof PublishError, String(error))
    assert.deepEqual(
      error.failed.map(({ index, outcome }) => [index, outcome]),
      [[1, 'refused']],
    )
    const after = await readUntil(topic, 101)
    assert.deepEqual(
      after.slice(100).map(({ value }) => value!.length),
      [10, 20],
    )
  })

  async function readUntil(topic: string, offset: number): Promise<LogRecord[]> {
    const listener = await broker.listen({ topic, partition: 0, from: 'earliest' })
    const read: LogRecord[] = []
    for await (const records of listener) {
      read.push(...records)
      if (records.at(-1)!.offset >= offset) break
    }
    return read
  }
})
