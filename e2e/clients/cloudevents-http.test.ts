import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { forebayBroker } from '@forebay/broker/remote'
import { type EncodedEvent, fromRecord } from '@forebay/events'
import { hasPython, pythonPackages } from '../../scripts/rig/python-packages.ts'
import { startForebay } from '../forebay.ts'

const skip = (await hasPython()) ? false : 'python3 with venv is not on this machine'
const TOPIC = 'accounts'

test('requests that the Python package cloudevents makes, binary and structured, arrive as they were meant', {
  skip,
}, async () => {
  const schema = { type: 'object', properties: { userId: { type: 'string' } } }
  const events = {
    account_created: { topic: TOPIC, partitions: 1, schemas: { 1: schema } },
    noted: { topic: TOPIC, partitions: 1 },
  }
  await using forebay = await startForebay({ config: { events } })
  const { stdout } = await promisify(execFile)(await python(), [
    '-B',
    join(import.meta.dirname, 'python/publish_events.py'),
    forebay.url,
  ])
  const answers = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as [number, { readonly code?: string }])
  assert.deepEqual(
    answers.map(([status, { code }]) => `${status} ${code ?? ''}`),
    ['200 ', '200 ', '200 ', '200 ', '422 SCHEMA_MISMATCH', '200 '],
  )
  const found = await readAll(forebay.grpc)
  assert.deepEqual(
    found.map(({ id }) => id),
    ['binary', 'structured', 'text', 'bytes', 'batch-0', 'batch-1', 'batch-2'],
  )
  const [binary, structured, text, bytes] = found
  assert.deepEqual(JSON.parse(String(binary!.bytes)), { userId: 'grüße' })
  assert.equal(binary!.subject, '50 % "off" – ü😀')
  assert.deepEqual([binary!.key, binary!.extensions], ['u-1', { tenant: 'blau' }])
  assert.equal(new Date(binary!.timeMs).toISOString(), '2026-11-21T08:30:00.123Z')
  assert.deepEqual(JSON.parse(String(structured!.bytes)), { userId: 'u-2' })
  assert.equal(structured!.timeMs, binary!.timeMs)
  assert.deepEqual([String(text!.bytes), text!.contentType], ['plain\n', 'text/plain'])
  assert.deepEqual([...bytes!.bytes], [0x00, 0xff])
})

async function readAll(server: string): Promise<EncodedEvent[]> {
  const broker = forebayBroker({ server })
  await broker.open({ topics: [] })
  try {
    const [state] = await broker.inspect({ topics: [TOPIC] })
    const listener = await broker.listen({ topic: TOPIC, partition: 0, from: 'earliest' })
    const found: EncodedEvent[] = []
    for await (const batch of listener) {
      for (const record of batch) {
        const event = fromRecord(record)
        if (typeof event === 'string') throw new Error(event)
        found.push({ ...event, bytes: Buffer.from(event.bytes) })
      }
      if (batch.at(-1)!.offset + 1 >= state!.end) break
    }
    await listener.close()
    return found
  } finally {
    await broker.close()
  }
}

/** The environment of examples/python-events does. */
async function python(): Promise<string> {
  const file = join(import.meta.dirname, '../../examples/python-events/requirements.txt')
  const requirements = readFileSync(file, 'utf8').trim().split('\n')
  return join(await pythonPackages(requirements), 'bin/python')
}
