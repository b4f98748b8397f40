import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Broker } from '../src/broker.ts'
import { consume, eventually, range, text } from '../src/contract/contract-log.ts'
import { RecordReader } from '../src/contract/readers.ts'
import { folder, opened } from './support/embedded-log.ts'

const MEBIBYTE = 1024 * 1024

async function fill(broker: Broker, topic: string, records: number, bytes = 100): Promise<void> {
  for (const index of range(0, records)) {
    const value = new Uint8Array(bytes)
    new TextEncoder().encodeInto(`${index}`, value)
    await broker.publish([{ topic, partition: 0, key: null, value, headers: [] }])
  }
}

async function startOf(broker: Broker, topic: string): Promise<number> {
  return (await broker.inspect({ topics: [topic] }))[0]!.start
}

test('records older than their topic keeps them go; those of topics kept for ever stay', async (context) => {
  const dir = await folder(context)
  const broker = await opened(context, { dir, retentionIntervalMs: 20 }, [
    { name: 'results', partitions: 1, retentionMs: 200 },
    { name: 'settings', partitions: 1, retentionMs: 'forever' },
  ])
  await fill(broker, 'settings', 20)
  await fill(broker, 'results', 20)
  await eventually('all results are gone', async () => (await startOf(broker, 'results')) === 20)
  assert.equal(await startOf(broker, 'settings'), 0)

  await fill(broker, 'results', 1)
  const listener = await broker.listen({ topic: 'results', partition: 0, from: 3 })
  assert.ok(listener.from >= 20, 'an offset that is gone means the earliest that is left')
  await broker.close()
  const again = await opened(context, { dir }, [])
  assert.equal((await again.inspect({ topics: ['results'] }))[0]!.end, 21, 'offsets are not used twice')
})

test('what a group has not finished stays, however old, and what it has finished goes', async (context) => {
  const dir = await folder(context)
  const topic = { name: 'tasks', partitions: 1, retentionMs: 1 }
  const limits = { commitIntervalMs: 10, retentionIntervalMs: 20, retentionBytes: 1 }
  const broker = await opened(context, { dir, ...limits }, [topic])
  const { reader } = await consume(broker, { topics: ['tasks'], group: 'workers' })
  await fill(broker, 'tasks', 30)
  const deliveries = await reader.take(30)
  for (const delivery of deliveries.slice(0, 10)) delivery.settle()
  for (const delivery of deliveries.slice(11)) delivery.settle()
  await eventually('the finished ones are gone', async () => (await startOf(broker, 'tasks')) === 10)
  await broker.close()

  const again = await opened(context, { dir, ...limits }, [topic])
  const second = await consume(again, { topics: ['tasks'], group: 'workers' })
  const [left] = await second.reader.take(1)
  assert.equal(left!.record.offset, 10)
  left!.settle()
  await eventually('all are gone', async () => (await startOf(again, 'tasks')) === 30)
})

test('beyond retentionBytes the oldest go first, and the file stays as small', async (context) => {
  const dir = await folder(context)
  const limits = { retentionIntervalMs: 10, retentionBytes: 2 * MEBIBYTE }
  const broker = await opened(context, { dir, ...limits }, [{ name: 'results', partitions: 1, retentionMs: 3_600_000 }])
  for (const round of range(0, 10)) {
    await fill(broker, 'results', 40, 50_000)
    await eventually(
      `round ${round} is within the limit`,
      async () => (await startOf(broker, 'results')) > round * 40 - 40,
    )
  }
  await eventually('about two MiB are left', async () => (await startOf(broker, 'results')) >= 355)
  const start = await startOf(broker, 'results')
  assert.ok(start < 399, `not more than needed was removed: it starts at ${start}`)
  const listener = await broker.listen({ topic: 'results', partition: 0, from: 'earliest' })
  const [first] = await new RecordReader(listener).take(1)
  assert.ok(text(first!.value)!.startsWith(`${start % 40}`))
  await broker.close()
  const { size } = await stat(join(dir, 'log.db'))
  assert.ok(size < 8 * MEBIBYTE, `20 MB were written, and the file has ${size} bytes`)
})
