import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { AssignedPartition, Broker } from '../src/broker.ts'
import { PublishError } from '../src/broker.ts'
import { bytes, text } from '../src/contract/contract-log.ts'
import { DeliveryReader, RecordReader } from '../src/contract/readers.ts'
import { forebayBroker } from '../src/remote/remote.ts'
import { type ForebayServer, startForebay } from './support/forebay-server.ts'

describe('a server that is killed and comes back', { timeout: 120_000 }, () => {
  let server: ForebayServer
  const opened: Broker[] = []
  before(async () => {
    server = await startForebay()
  })
  after(async () => {
    await Promise.all(opened.map((broker) => broker.close()))
    await server[Symbol.asyncDispose]()
  })

  async function open(topic: string, publishTimeoutMs = 30_000): Promise<Broker> {
    const broker = forebayBroker({ server: server.address, publishTimeoutMs })
    opened.push(broker)
    await broker.open({ topics: [{ name: topic, partitions: 2, retentionMs: 'forever' }] })
    return broker
  }

  test('a subscription and a listener go on by themselves, and what was published is there once', async () => {
    const topic = 'goes-on'
    const broker = await open(topic)
    const told: AssignedPartition[] = []
    const request = { topics: [topic], group: 'members', from: 'latest' } as const
    await broker.publish([one(topic, 'too early')])
    const subscription = await broker.consume({ ...request, onAssigned: (assigned) => told.push(assigned) })
    const deliveries = new DeliveryReader(subscription)
    const heard = new RecordReader(await broker.listen({ topic, partition: 0, from: 'earliest' }))
    await broker.publish([one(topic, 'before')])
    const [first] = await deliveries.take(1)
    assert.equal(text(first!.record.value), 'before')
    const ends = told.map(({ lost }) => new Promise<void>((resolve) => lost.addEventListener('abort', () => resolve())))

    await server.kill()
    await Promise.all(ends)
    first!.settle()
    // It waits for the server, which takes it when it is back.
    const publishing = broker.publish([one(topic, 'meanwhile')])
    await server.restart()
    const [kept] = await publishing

    const again = await deliveries.take(2)
    assert.deepEqual(
      again.map(({ record }) => text(record.value)),
      ['before', 'meanwhile'],
      'what was not settled while it was ours comes again',
    )
    assert.equal(again[1]!.record.offset, kept!.offset)
    assert.deepEqual(
      (await heard.take(3)).map((record) => text(record.value)),
      ['too early', 'before', 'meanwhile'],
    )
    for (const delivery of again) delivery.settle()
    await subscription.close()
    const states = await broker.inspect({ topics: [topic], group: 'members' })
    assert.deepEqual(
      states.map(({ end, committed }) => end - committed!),
      [0, 0],
    )
  })

  test('what is published while it is away is refused by name when its time is up, or nobody knows', async () => {
    const topic = 'away'
    const broker = await open(topic, 1_500)
    const busy = Array.from({ length: 50 }, (_, index) => broker.publish([one(topic, `${index}`)]))
    const outcomes = Promise.allSettled(busy)
    await server.kill()
    for (const [index, outcome] of (await outcomes).entries()) {
      if (outcome.status === 'rejected') assert.ok(outcome.reason instanceof PublishError, `${index}`)
    }
    const late = await broker.publish([one(topic, 'late'), one(topic, 'later')]).catch((error: unknown) => error)
    assert.ok(late instanceof PublishError)
    assert.deepEqual(
      late.failed.map(({ index, outcome }) => [index, outcome]),
      [
        [0, 'refused'],
        [1, 'refused'],
      ],
    )
    await server.restart()
    const [last] = await broker.publish([one(topic, 'last')])
    const reader = new RecordReader(await broker.listen({ topic, partition: 0, from: 'earliest' }))
    const read = (await reader.takeUntil(({ offset }) => offset === last!.offset)).map(({ value }) => text(value))
    assert.ok(!read.includes('late') && !read.includes('later'), 'refused is refused')
    for (const [index, outcome] of (await outcomes).entries()) {
      if (outcome.status === 'fulfilled') assert.ok(read.includes(`${index}`), `${index} was kept`)
    }
  })

  test('a server that stops in good order stores what was settled, and its members come back', async () => {
    const topic = 'in-order'
    const broker = await open(topic)
    const subscription = await broker.consume({ topics: [topic], group: 'orderly' })
    const deliveries = new DeliveryReader(subscription)
    await broker.publish([one(topic, 'one'), one(topic, 'two')])
    const [first, second] = await deliveries.take(2)
    first!.settle()
    const lost = new Promise<void>((resolve) => second!.lost.addEventListener('abort', () => resolve()))
    // Until the server has heard of it.
    while ((await broker.inspect({ topics: [topic], group: 'orderly' }))[0]!.committed !== 1);
    await server.stop()
    await lost
    await server.restart()
    const [again] = await deliveries.take(1)
    assert.equal(text(again!.record.value), 'two')
    await subscription.close()
  })

  test('a broker whose server is away opens with an error that names it, and closes at once', async () => {
    const nobody = forebayBroker({ server: '127.0.0.1:1' })
    const opening = nobody.open({ topics: [] })
    const closing = nobody.close()
    await assert.rejects(opening, { code: 'CLOSED' })
    await closing
  })
})

function one(topic: string, value: string) {
  return { topic, partition: 0, key: null, value: bytes(value), headers: [] }
}
