import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { useKafka } from '../../../scripts/rig/kafka.ts'
import { kafkaBroker } from '../src/kafka/kafka.ts'

const PARTITIONS = 12
const KEYS = 300
const hasKcat = spawnSync('kcat', ['-V'], { stdio: 'ignore' }).status === 0

test('kcat (librdkafka, murmur2_random) puts each key where we put it', {
  skip: hasKcat ? false : 'kcat is not installed',
  timeout: 60_000,
}, async () => {
  await using kafka = await useKafka()
  const topic = `murmur2-${randomUUID()}`
  const broker = kafkaBroker({ bootstrap: [kafka.bootstrap] })
  await broker.open({ topics: [{ name: topic, partitions: PARTITIONS, retentionMs: 3_600_000 }] })
  const keys = Array.from({ length: KEYS }, (_, index) => `${'kéy-'.repeat(index % 5)}${index}`)
  const input = keys.map((key) => `${key}\ttheirs\n`).join('')
  const args = ['-P', '-b', kafka.bootstrap, '-t', topic, '-K', '\t', '-X', 'partitioner=murmur2_random']
  const kcat = spawnSync('kcat', args, { input, encoding: 'utf8' })
  assert.equal(kcat.status, 0, kcat.stderr)
  const ours = await broker.publish(
    keys.map((key) => ({ topic, key: Buffer.from(key), value: Buffer.from('ours'), headers: [] })),
  )

  const theirs = new Map<string, number>()
  for (const { partition, end } of await broker.inspect({ topics: [topic] })) {
    if (end === 0) continue
    const listener = await broker.listen({ topic, partition, from: 'earliest' })
    for await (const records of listener) {
      for (const { key, value } of records) {
        if (String(value) === 'theirs') theirs.set(String(key), partition)
      }
      if (records.at(-1)!.offset === end - 1) break
    }
  }
  assert.equal(theirs.size, KEYS)
  for (const [index, key] of keys.entries()) assert.equal(ours[index]!.partition, theirs.get(key), key)
  await broker.close()
})
