import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startKafka } from '../../../scripts/rig/kafka.ts'
import { type Broker, PublishError } from '../src/broker.ts'
import { kafkaBroker } from '../src/kafka/kafka.ts'

const PARTITIONS = 3

describe('Kafka goes away and comes back', { timeout: 300_000 }, () => {
  test('under load, across a crash and a clean restart: all that was acknowledged is consumed, in order', async () => {
    await using kafka = await startKafka()
    const topic = 'restart-under-load'
    const broker = await open(kafka.bootstrap, topic)
    const acknowledged = new Map<string, string>()
    const consumed = new Map<string, string>()
    const lastOffset = new Map<number, number>()
    const subscription = await broker.consume({ topics: [topic], group: 'restart' })
    const reading = (async () => {
      for await (const { partition, deliveries } of subscription) {
        for (const { record, settle } of deliveries.map((one) => ({
          record: one.record,
          settle: () => one.settle(),
        }))) {
          const before = consumed.get(`${partition}/${record.offset}`)
          if (before === undefined) {
            const last = lastOffset.get(partition) ?? -1
            assert.ok(record.offset > last, `${partition}/${record.offset} came first after ${last}`)
            lastOffset.set(partition, record.offset)
          }
          consumed.set(`${partition}/${record.offset}`, text(record.value))
          settle()
        }
      }
    })()

    let running = true
    let unsure = 0
    const publishing = Array.from({ length: 16 }, async (_, who) => {
      for (let nth = 0; running; nth++) {
        const value = `${who}-${nth}`
        try {
          const [position] = await broker.publish([
            { topic, key: Buffer.from(`${who}`), value: Buffer.from(value), headers: [] },
          ])
          acknowledged.set(`${position!.partition}/${position!.offset}`, value)
        } catch (error) {
          assert.ok(error instanceof PublishError, String(error))
          unsure++
        }
      }
    })
    const acknowledgedMore = async (than: number) => {
      while (acknowledged.size < than) await sleep(10)
    }
    await acknowledgedMore(2000)
    await kafka.kill()
    await kafka.restart()
    await acknowledgedMore(acknowledged.size + 2000)
    await kafka.stop()
    await kafka.restart()
    await acknowledgedMore(acknowledged.size + 2000)
    running = false
    await Promise.all(publishing)

    for (const [position, value] of acknowledged) {
      while (!consumed.has(position)) await sleep(10)
      assert.equal(consumed.get(position), value)
    }
    assertOrderPerProducer(consumed)
    assert.ok(acknowledged.size >= 6000 && unsure < acknowledged.size)
    await broker.close()
    await reading
  })

  test('while it is down publish names its records within the timeout and says refused; then works without a restart', async () => {
    await using kafka = await startKafka()
    const topic = 'down-for-a-while'
    const broker = await open(kafka.bootstrap, topic, 1500)
    const one = (value: string) => ({ topic, partition: 0, key: null, value: Buffer.from(value), headers: [] })
    const listener = await broker.listen({ topic, partition: 0, from: 'latest' })
    const heard = listener[Symbol.asyncIterator]()
    await broker.publish([one('before')])
    assert.equal(text((await heard.next()).value[0].value), 'before')

    await kafka.stop()
    const looking = assert.rejects(broker.inspect({ topics: [topic] }), { code: 'BROKER_UNAVAILABLE' })
    const downSince = performance.now()
    while (performance.now() - downSince < 10_000) {
      const start = performance.now()
      const error = await broker.publish([one('during'), one('during')]).catch((thrown: unknown) => thrown)
      const tookMs = performance.now() - start
      assert.ok(error instanceof PublishError, String(error))
      assert.deepEqual(
        error.failed.map(({ index, outcome }) => [index, outcome]),
        [
          [0, 'refused'],
          [1, 'refused'],
        ],
      )
      assert.equal(error.code, 'NOT_ACCEPTED')
      assert.ok(tookMs <= 1500 + 300, `${tookMs} ms`)
    }
    await looking
    await kafka.restart()
    for (;;) {
      const done = await broker.publish([one('after')]).then(
        () => true,
        () => false,
      )
      if (done) break
    }
    assert.equal(text((await heard.next()).value[0].value), 'after', 'nothing that was refused is in the log')
    await broker.close()
  })

  test('a broker that is paused in the middle of a request leaves the outcome unknown, not refused', async () => {
    await using kafka = await startKafka()
    const topic = 'paused'
    const broker = await open(kafka.bootstrap, topic, 1500)
    const one = (value: string) => ({ topic, partition: 0, key: null, value: Buffer.from(value), headers: [] })
    await broker.publish([one('before')])
    kafka.pause()
    const start = performance.now()
    const error = await broker.publish([one('during')]).catch((thrown: unknown) => thrown)
    assert.ok(performance.now() - start <= 1800)
    kafka.resume()
    assert.ok(error instanceof PublishError, String(error))
    assert.deepEqual(
      error.failed.map(({ index, outcome }) => [index, outcome]),
      [[0, 'unknown']],
    )
    assert.equal(error.code, 'OUTCOME_UNKNOWN')
    let after: number | null = null
    while (after === null) {
      after = await broker.publish([one('after')]).then(
        ([position]) => position!.offset,
        () => null,
      )
    }
    const listener = await broker.listen({ topic, partition: 0, from: 'earliest' })
    const values: string[] = []
    for await (const records of listener) {
      values.push(...records.map(({ value }) => text(value)))
      if (records.at(-1)!.offset >= after) break
    }
    assert.equal(values[0], 'before')
    assert.equal(values.at(-1), 'after', 'what was given up does not appear behind what was published later')
    await broker.close()
  })
})

async function open(bootstrap: string, topic: string, publishTimeoutMs = 10_000): Promise<Broker> {
  const broker = kafkaBroker({ bootstrap: [bootstrap], publishTimeoutMs, commitIntervalMs: 100 })
  await broker.open({ topics: [{ name: topic, partitions: PARTITIONS, retentionMs: 3_600_000 }] })
  return broker
}

/** Values of one producer are in one partition, each at its first appearance after the one before. */
function assertOrderPerProducer(consumed: ReadonlyMap<string, string>): void {
  const lists = new Map<string, [offset: number, nth: number][]>()
  for (const [position, value] of consumed) {
    const [who, nth] = value.split('-')
    const list = lists.get(who!) ?? []
    lists.set(who!, list)
    list.push([Number(position.split('/')[1]), Number(nth)])
  }
  for (const [who, list] of lists) {
    let last = -1
    for (const [, nth] of list.sort(([one], [other]) => one - other)) {
      assert.ok(nth >= last, `producer ${who}: ${nth} stands behind ${last}`)
      last = nth
    }
  }
}

function text(value: Uint8Array | null): string {
  return Buffer.from(value!).toString()
}
