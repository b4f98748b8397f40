import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Broker, systemClock, systemRandom } from '@forebay/broker'
import { embeddedBroker } from '@forebay/broker/embedded'
import { pino } from 'pino'
import { CLUSTER_TOPIC_SPEC, openClusterKeys, SIGN_AFTER_MS } from '../src/accept/cluster-secret.ts'
import { createTaskIds, type TaskIdKeys } from '../src/accept/task-id.ts'
import { CLUSTER_TOPIC } from '../src/topics.ts'

test('processes that start at once on an empty topic agree on one key', async () => {
  await withBroker(async (broker) => {
    const all = await Promise.all(Array.from({ length: 5 }, () => openKeys(broker)))
    const texts = new Set(all.map((keys) => secretOf(keys)))
    assert.equal(texts.size, 1)
    await Promise.all(all.map((keys) => keys.close()))
  })
})

test('a restart reads the key that is there and writes none', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'forebay-keys-'))
  const secrets: string[] = []
  for (let start = 0; start < 2; start++) {
    const broker = embeddedBroker({ dir })
    await broker.open({ topics: [CLUSTER_TOPIC_SPEC] })
    const keys = await openKeys(broker)
    secrets.push(secretOf(keys))
    await keys.close()
    assert.equal((await broker.inspect({ topics: [CLUSTER_TOPIC] }))[0]!.end, 1)
    await broker.close()
  }
  assert.equal(secrets[0], secrets[1])
  await rm(dir, { recursive: true })
})

test('records that are no keys are passed over, and a second record of a key does not count', async () => {
  await withBroker(async (broker) => {
    const record = (value: string, headers: [string, Buffer][]) => ({
      topic: CLUSTER_TOPIC,
      partition: 0,
      key: null,
      value: Buffer.from(value),
      headers,
    })
    const keyHeaders = (id: string): [string, Buffer][] => [
      ['fb-kind', Buffer.from('task-id-key')],
      ['fb-key-id', Buffer.from(id)],
    ]
    const right = 'a'.repeat(32)
    await broker.publish([
      record('hello', []),
      record('short', keyHeaders('0')),
      record('z'.repeat(32), [['fb-kind', Buffer.from('other')]]),
      record('y'.repeat(32), keyHeaders('128')),
      record('x'.repeat(32), keyHeaders('-1')),
      record(right, keyHeaders('0')),
      record('b'.repeat(32), keyHeaders('0')),
    ])
    const keys = await openKeys(broker)
    assert.equal(secretOf(keys), Buffer.from(right).toString('hex'))
    await keys.close()
  })
})

test('a new key is known everywhere before it signs, and ids of the old one stay good', async () => {
  await withBroker(async (broker) => {
    const [one, two] = await Promise.all([openKeys(broker), openKeys(broker)])
    const task = { owner: 'shop', queue: 'orders', lane: 0, acceptedAtMs: Date.now(), budgetMs: 60_000 }
    const idsOf = (keys: TaskIdKeys) => createTaskIds(keys, ['orders'], systemRandom)
    const old = idsOf(one).mint(task)
    const number = await one.rotate()
    assert.equal(number, 1)
    while (two.find(number) === undefined) await new Promise((resolve) => setImmediate(resolve))
    assert.equal(one.signing(Date.now()).id, 0, 'not yet')
    const later = { ...task, acceptedAtMs: Date.now() + SIGN_AFTER_MS + 1_000 }
    const fresh = idsOf(one).mint(later)
    assert.equal(one.signing(later.acceptedAtMs).id, 1)
    for (const keys of [one, two]) {
      assert.notEqual(idsOf(keys).read(old, 'shop'), null)
      assert.notEqual(idsOf(keys).read(fresh, 'shop'), null)
    }
    await Promise.all([one.close(), two.close()])
  })
})

function openKeys(broker: Broker) {
  return openClusterKeys({ broker, clock: systemClock, random: systemRandom, log: pino({ level: 'silent' }) })
}

function secretOf(keys: TaskIdKeys): string {
  return Buffer.from(keys.signing(0).secret).toString('hex')
}

async function withBroker(run: (broker: Broker) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'forebay-keys-'))
  const broker = embeddedBroker({ dir })
  await broker.open({ topics: [CLUSTER_TOPIC_SPEC] })
  try {
    await run(broker)
  } finally {
    await broker.close()
    await rm(dir, { recursive: true })
  }
}
