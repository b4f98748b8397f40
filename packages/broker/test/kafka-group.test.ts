import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Admin } from '@platformatic/kafka'
import { startKafka, useKafka } from '../../../scripts/rig/kafka.ts'
import type { Broker, Delivery, Subscription } from '../src/broker.ts'
import { kafkaBroker } from '../src/kafka/kafka.ts'
import { WINDOW_OFFSETS_MAX } from '../src/offset-ledger.ts'
import { lookAtGroup } from './kafka-outsider.ts'

describe('Kafka groups', { timeout: 60_000 }, () => {
  let kafka: Awaited<ReturnType<typeof useKafka>>
  before(async () => {
    kafka = await useKafka()
  })
  after(async () => {
    await Promise.all(opened.map((broker) => broker.close()))
    await kafka[Symbol.asyncDispose]()
  })
  const opened: Broker[] = []

  async function open(topic: string, partitions: number): Promise<Broker> {
    const broker = kafkaBroker({ bootstrap: [kafka.bootstrap], commitIntervalMs: 50, sessionTimeoutMs: 6000 })
    opened.push(broker)
    await broker.open({ topics: [{ name: topic, partitions, retentionMs: 3_600_000 }] })
    return broker
  }

  test('two members share; what a member keeps it keeps without a pause; a closed one hands over within 3 s', async () => {
    const topic = `share-${randomUUID()}`
    const group = topic
    const [first, second] = [await open(topic, 6), await open(topic, 6)]
    await first.publish(each(6, topic))
    const one = new Member(await first.consume({ topics: [topic], group }))
    await one.has(6)
    const firstSignals = [...one.lost.values()]

    const two = new Member(await second.consume({ topics: [topic], group }))
    while (two.owned().length < 3) {
      await first.publish(each(6, topic))
      await sleep(50)
    }
    assert.equal(firstSignals.filter((signal) => signal.aborted).length, 3, 'three moved, three stayed')
    assert.deepEqual([...one.owned(), ...two.owned()].sort(), [0, 1, 2, 3, 4, 5])

    await second.close()
    const start = performance.now()
    while (one.owned().length < 6) {
      await first.publish(each(6, topic))
      await sleep(50)
    }
    assert.ok(performance.now() - start < 3000, `handed over in ${performance.now() - start} ms`)
    await first.close()
  })

  test('a commit under a membership that has ended is refused, is not sent again under the next one, and aborts lost', async () => {
    const topic = `stale-${randomUUID()}`
    const group = topic
    const broker = await open(topic, 1)
    await using outsider = await lookAtGroup(kafka.bootstrap, group)
    await broker.publish(
      Array.from({ length: 10 }, () => ({ topic, partition: 0, key: null, value: Buffer.from('x'), headers: [] })),
    )
    const member = new Member(await broker.consume({ topics: [topic], group }), 'keep')
    const early = await member.take(10)
    await outsider.expelAll()
    for (const delivery of early) delivery.settle()
    await aborted(early[0]!.lost)

    // The member is back under another generation, owns the partition, and has been given everything again.
    const again = await member.take(10)
    assert.deepEqual(
      again.map(({ record }) => record.offset),
      early.map(({ record }) => record.offset),
    )
    for (const delivery of early) delivery.settle()
    await sleep(300)
    assert.equal(await outsider.committed(topic, 0), null)

    for (const delivery of again.slice(0, 4)) delivery.settle()
    while ((await outsider.committed(topic, 0))?.offset !== 4) await sleep(20)
    await broker.close()
  })

  test('the largest done-set fits the commit metadata of a real broker and comes back', async () => {
    const topic = `window-${randomUUID()}`
    const group = topic
    const broker = await open(topic, 1)
    await using outsider = await lookAtGroup(kafka.bootstrap, group)
    const record = { topic, partition: 0, key: null, value: Buffer.from('x'), headers: [] }
    for (let sent = 0; sent < WINDOW_OFFSETS_MAX; sent += 1000) await broker.publish(new Array(1000).fill(record))
    const subscription = await broker.consume({ topics: [topic], group, windowRecords: WINDOW_OFFSETS_MAX })
    const member = new Member(subscription, 'keep')
    const all = await member.take(WINDOW_OFFSETS_MAX)
    // The first stays open, of the others every second by chance: what deflate can do least about.
    const kept = new Set([0])
    for (let at = 1; at < all.length; at++) if (Math.random() < 0.5) kept.add(at)
    for (const [at, delivery] of all.entries()) if (!kept.has(at)) delivery.settle()
    await subscription.close()
    const committed = await outsider.committed(topic, 0)
    assert.equal(committed?.offset, 0)
    assert.ok(committed.metadata.length > 3000 && committed.metadata.length <= 4096, `${committed.metadata.length}`)

    const next = new Member(await broker.consume({ topics: [topic], group, windowRecords: WINDOW_OFFSETS_MAX }), 'keep')
    const rest = await next.take(kept.size)
    assert.deepEqual(
      rest.map(({ record }) => record.offset),
      [...kept],
    )
    await broker.close()
  })

  test('a position that retention has removed moves to the earliest record left, and a warning says what was skipped', async () => {
    const topic = `gone-${randomUUID()}`
    const warnings: Readonly<Record<string, unknown>>[] = []
    const onWarning = (_: string, details: Readonly<Record<string, unknown>>) => warnings.push(details)
    const broker = kafkaBroker({ bootstrap: [kafka.bootstrap], commitIntervalMs: 20, onWarning })
    opened.push(broker)
    await broker.open({ topics: [{ name: topic, partitions: 1, retentionMs: 3_600_000 }] })
    for (let sent = 0; sent < 20; sent++) await broker.publish(each(1, topic))
    const first = await broker.consume({ topics: [topic], group: topic })
    for (const delivery of (await new Member(first, 'keep').take(20)).slice(0, 5)) delivery.settle()
    await first.close()
    const admin = new Admin({ clientId: 'retention', bootstrapBrokers: [kafka.bootstrap] })
    await admin.deleteRecords({ topics: [{ name: topic, partitions: [{ partition: 0, offset: 12n }] }] })
    await admin.close()

    const again = await new Member(await broker.consume({ topics: [topic], group: topic }), 'keep').take(8)
    assert.deepEqual(
      again.map(({ record }) => record.offset),
      [12, 13, 14, 15, 16, 17, 18, 19],
    )
    const said = warnings.find((details) => details.position === 5)
    assert.deepEqual([said?.topic, said?.partition, said?.earliest, said?.skipped], [topic, 0, 12, 7])
    for (const from of [0, 'earliest', 14] as const) {
      const listener = await broker.listen({ topic, partition: 0, from })
      assert.equal(listener.from, from === 14 ? 14 : 12)
      await listener.close()
    }
    await broker.close()
  })

  test('where Kafka has no room for the done-set the position alone is committed, with a warning', async () => {
    await using small = await startKafka({ extra: { 'offset.metadata.max.bytes': '5' } })
    const topic = 'bare'
    const warnings: string[] = []
    const broker = kafkaBroker({
      bootstrap: [small.bootstrap],
      commitIntervalMs: 50,
      onWarning: (text) => warnings.push(text),
    })
    opened.push(broker)
    await broker.open({ topics: [{ name: topic, partitions: 1, retentionMs: 3_600_000 }] })
    await using outsider = await lookAtGroup(small.bootstrap, topic)
    await broker.publish(each(1, topic).concat(each(1, topic), each(1, topic), each(1, topic)))
    const subscription = await broker.consume({ topics: [topic], group: topic })
    const deliveries = await new Member(subscription, 'keep').take(4)
    for (const index of [0, 1, 3]) deliveries[index]!.settle()
    while ((await outsider.committed(topic, 0)) === null) await sleep(10)
    assert.deepEqual(await outsider.committed(topic, 0), { offset: 2, metadata: '' })
    assert.ok(
      warnings.some((text) => text.includes('no room for the done-set')),
      warnings.join('\n'),
    )
    await broker.close()
  })
})

function each(partitions: number, topic: string) {
  return Array.from({ length: partitions }, (_, partition) => ({
    topic,
    partition,
    key: null,
    value: Buffer.from('x'),
    headers: [],
  }))
}

/** Reads a subscription to its end; settles at once, or keeps what it got for the test. */
class Member {
  readonly lost = new Map<number, AbortSignal>()
  readonly #kept: Delivery[] = []
  readonly #settles: boolean

  constructor(subscription: Subscription, mode: 'settle' | 'keep' = 'settle') {
    this.#settles = mode === 'settle'
    void this.#read(subscription)
  }

  owned(): number[] {
    return [...this.lost].filter(([, signal]) => !signal.aborted).map(([partition]) => partition)
  }

  async has(partitions: number): Promise<void> {
    while (this.owned().length < partitions) await sleep(5)
  }

  async take(count: number): Promise<Delivery[]> {
    while (this.#kept.length < count) await sleep(5)
    return this.#kept.splice(0, count)
  }

  async #read(subscription: Subscription): Promise<void> {
    for await (const { partition, deliveries } of subscription) {
      this.lost.set(partition, deliveries[0]!.lost)
      if (!this.#settles) this.#kept.push(...deliveries)
      else for (const delivery of deliveries) delivery.settle()
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
