import assert from 'node:assert/strict'
import { test } from 'node:test'
import { consume, range } from '../src/contract/contract-log.ts'
import { RecordReader } from '../src/contract/readers.ts'
import { TAIL_BYTES_MAX } from '../src/embedded/partition-log.ts'
import { folder, opened } from './support/embedded-log.ts'

const TOPIC = { name: 'tasks', partitions: 1, retentionMs: 3_600_000 }

test('a reader who fell behind what memory holds goes on from the file, and from there back to memory', async (context) => {
  const broker = await opened(context, { dir: await folder(context) }, [TOPIC])
  const value = new Uint8Array(100_000)
  const count = Math.ceil((TAIL_BYTES_MAX * 1.2) / value.length)
  const publish = (records: number) =>
    broker.publish(range(0, records).map(() => ({ topic: 'tasks', partition: 0, key: null, value, headers: [] })))

  const listener = await broker.listen({ topic: 'tasks', partition: 0, from: 'latest' })
  const { reader } = await consume(broker, { topics: ['tasks'], group: 'workers', windowBytes: 1_000_000 })
  for (let published = 0; published < count; published += 20) await publish(Math.min(20, count - published))
  const live = publish(20)
  const read = await new RecordReader(listener).take(count + 20)
  await live
  assert.deepEqual(
    read.map((one) => one.offset),
    range(0, count + 20),
  )
  assert.ok(read.every((one) => one.value!.length === value.length))

  let next = 0
  await reader.see((delivery) => {
    assert.equal(delivery.record.offset, next++)
    delivery.settle()
    return next === count + 20
  })
})

test('a small value does not keep the large buffer alive that it was cut from', async (context) => {
  const broker = await opened(context, { dir: await folder(context) }, [TOPIC])
  const listener = await broker.listen({ topic: 'tasks', partition: 0, from: 'latest' })
  const value = new Uint8Array(10_000_000).fill(9).subarray(5, 10)
  await broker.publish([{ topic: 'tasks', key: null, value, headers: [] }])
  const [read] = await new RecordReader(listener).take(1)
  assert.deepEqual([...read!.value!], [9, 9, 9, 9, 9])
  assert.ok(read!.value!.buffer.byteLength < 100_000)
})

test('a record that was changed after publish took it is refused, and the log goes on', async (context) => {
  const broker = await opened(context, { dir: await folder(context) }, [TOPIC])
  const memory = new ArrayBuffer(8, { maxByteLength: 100_000 })
  const publishing = broker.publish([{ topic: 'tasks', key: null, value: new Uint8Array(memory), headers: [] }])
  memory.resize(100_000)
  await assert.rejects(publishing, { code: 'NOT_ACCEPTED' })
  const [next] = await broker.publish([{ topic: 'tasks', key: null, value: new Uint8Array(1), headers: [] }])
  assert.equal(next!.offset, 0)
})
