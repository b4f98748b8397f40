import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { after, describe, test } from 'node:test'
import { Admin, ConfigResourceTypes } from '@platformatic/kafka'
import { useKafka } from '../../../scripts/rig/kafka.ts'
import { kafkaBroker } from '../src/kafka/kafka.ts'
import { KAFKA_COMPRESSIONS, type KafkaCompression } from '../src/kafka/options.ts'
import { RecordBatch } from '../src/kafka/record-batch.ts'

const hasKcat = spawnSync('kcat', ['-V'], { stdio: 'ignore' }).status === 0
const kafka = await useKafka()
after(() => kafka[Symbol.asyncDispose]())

for (const compression of KAFKA_COMPRESSIONS) {
  test(`${compression}: what we publish, kcat (librdkafka) reads, key, value and headers`, {
    skip: hasKcat ? false : 'kcat is not installed',
    timeout: 60_000,
  }, async (t) => {
    const topic = `packed-${randomUUID()}`
    const broker = kafkaBroker({ bootstrap: [kafka.bootstrap], compression })
    t.after(() => broker.close())
    await broker.open({ topics: [{ name: topic, partitions: 1, retentionMs: 3_600_000 }] })
    const records = Array.from({ length: 200 }, (_, nth) => `${nth} ${'the same words '.repeat(nth % 40)}`)
    // A second batch is made while the first is under way; the last is one short record that packing would lengthen.
    await Promise.all([publish(records.slice(0, 50)), publish(records.slice(50, 199))])
    await publish([records[199]!])
    const format = ['-f', '%k|%h|%s\n']
    const kcat = spawnSync('kcat', ['-C', '-e', '-q', '-b', kafka.bootstrap, '-t', topic, ...format], {
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
    })
    assert.equal(kcat.status, 0, kcat.stderr)
    assert.deepEqual(
      kcat.stdout.slice(0, -1).split('\n'),
      records.map((value, nth) => `key-${nth}|nth=${nth}|${value}`),
    )

    function publish(values: readonly string[]) {
      return broker.publish(
        values.map((value) => {
          const nth = records.indexOf(value)
          return {
            topic,
            key: Buffer.from(`key-${nth}`),
            value: Buffer.from(value),
            headers: [['nth', Buffer.from(String(nth))] as const],
          }
        }),
      )
    }
  })
}

test('a batch that a topic does not take, however it was packed, goes in halves, in order', {
  timeout: 60_000,
}, async (t) => {
  const topic = `halves-${randomUUID()}`
  const broker = kafkaBroker({ bootstrap: [kafka.bootstrap], compression: 'gzip' })
  t.after(() => broker.close())
  await broker.open({ topics: [{ name: topic, partitions: 1, retentionMs: 3_600_000 }] })
  const admin = new Admin({ clientId: 'halves', bootstrapBrokers: [kafka.bootstrap] })
  await admin.incrementalAlterConfigs({
    resources: [
      {
        resourceType: ConfigResourceTypes.TOPIC,
        resourceName: topic,
        configs: [{ name: 'max.message.bytes', configOperation: 0, value: '3000' }],
      },
    ],
  })
  await admin.close()
  // Chance does not pack.
  const values = Array.from({ length: 16 }, () => Buffer.from(`${randomUUID()}${randomUUID()}`.repeat(10)))
  const places = await broker.publish(values.map((value) => ({ topic, key: null, value, headers: [] })))
  assert.deepEqual(
    places.map(({ offset }) => offset),
    values.map((_, nth) => nth),
  )
})

describe('a batch', () => {
  const identity = { producerId: 1n, epoch: 0, sequence: 0 }
  const halving = { bitmask: 4, compressSync: (bytes: Buffer) => Buffer.alloc(Math.ceil(bytes.length / 2)) }

  test('is packed once for all tries, and anew when it has grown', () => {
    let packed = 0
    const codec = {
      ...halving,
      compressSync(bytes: Buffer) {
        packed++
        return halving.compressSync(bytes)
      },
    }
    const batch = new RecordBatch(0)
    const add = () => batch.append(null, Buffer.alloc(100), [], 0)
    add()
    const first = batch.seal(identity, () => 7, codec).length
    batch.seal({ ...identity, epoch: 1 }, () => 7, codec)
    assert.equal(packed, 1)
    add()
    assert.ok(batch.seal(identity, () => 7, codec).length > first)
    assert.equal(packed, 2)
  })

  test('that packing makes longer goes as it is, and says so', () => {
    const batch = new RecordBatch(0)
    batch.append(null, Buffer.from('x'), [], 0)
    const codec = { bitmask: 4, compressSync: (bytes: Buffer) => Buffer.alloc(bytes.length + 9) }
    assert.deepEqual(
      batch.seal(identity, () => 7, codec),
      batch.seal(identity, () => 7),
    )
    assert.equal(batch.seal(identity, () => 7, codec).readInt16BE(21), 0)
  })
})

test('a compression that there is not is refused by its name', () => {
  const compression = 'brotli' as KafkaCompression
  assert.throws(
    () => kafkaBroker({ bootstrap: ['127.0.0.1:9092'], compression }),
    /'compression' \("brotli"\): must be one of .*zstd/,
  )
})
