import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { open, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { ForebayError } from '@forebay/protocol'
import { embeddedBroker } from '../src/embedded/embedded.ts'
import { folder, opened } from './support/embedded-log.ts'

const TOPIC = { name: 'tasks', partitions: 1, retentionMs: 3_600_000 }

test('a second process on the same folder is refused, with the folder and the pid of the owner', async (context) => {
  const dir = await folder(context)
  const program = fileURLToPath(new URL('../src/contract/crash-child.ts', import.meta.url))
  const adapter = new URL('./support/embedded-child.ts', import.meta.url).href
  const order = JSON.stringify({ act: 'publish', topic: TOPIC, group: 'other' })
  const owner = spawn(process.execPath, [program, adapter, dir, order], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(owner.stdout, 'data')
  owner.stdout.resume()
  try {
    await assert.rejects(embeddedBroker({ dir }).open({ topics: [TOPIC] }), (error: unknown) => {
      assert.ok(error instanceof ForebayError)
      assert.equal(error.code, 'DATA_IN_USE')
      assert.ok(error.message.includes(dir) && error.message.includes(`${owner.pid}`), error.message)
      return true
    })
  } finally {
    const exit = once(owner, 'exit')
    owner.kill('SIGKILL')
    await exit
  }
  assert.equal(
    (await readFile(join(dir, 'log.db.owner'), 'utf8')).trim(),
    `${owner.pid}`,
    'the crash left its owner file',
  )
  const broker = await opened(context, { dir }, [TOPIC])
  assert.ok((await broker.inspect({ topics: ['tasks'] }))[0]!.end > 0)
  await broker.close()
  assert.ok(!existsSync(join(dir, 'log.db.owner')), 'a clean stop leaves none')
})

test('a second broker in the same process is refused too, and the first goes on', async (context) => {
  const dir = await folder(context)
  const first = await opened(context, { dir }, [TOPIC])
  const second = embeddedBroker({ dir })
  await assert.rejects(second.open({ topics: [TOPIC] }), { code: 'DATA_IN_USE' })
  await second.close()
  await first.publish([{ topic: 'tasks', key: null, value: new Uint8Array(3), headers: [] }])
})

test('a file that is no log is refused with its name', async (context) => {
  const dir = await folder(context)
  await writeFile(join(dir, 'log.db'), 'this is not a database'.repeat(100))
  await assert.rejects(embeddedBroker({ dir }).open({ topics: [TOPIC] }), (error: unknown) => {
    assert.ok(error instanceof ForebayError)
    assert.equal(error.code, 'DATA_CORRUPT')
    assert.ok(error.message.includes(join(dir, 'log.db')), error.message)
    return true
  })
})

test('records that are not what was written are not handed out', async (context) => {
  const dir = await folder(context)
  const first = await opened(context, { dir }, [TOPIC])
  const value = new Uint8Array(20_000).fill(0x77)
  await first.publish([{ topic: 'tasks', partition: 0, key: null, value, headers: [] }])
  await first.close()

  const content = await readFile(join(dir, 'log.db'))
  const at = content.lastIndexOf(value.subarray(0, 1000))
  const file = await open(join(dir, 'log.db'), 'r+')
  await file.write(Uint8Array.of(0x78), 0, 1, at + 500)
  await file.close()

  const second = await opened(context, { dir }, [TOPIC])
  const listener = await second.listen({ topic: 'tasks', partition: 0, from: 'earliest' })
  await assert.rejects(listener[Symbol.asyncIterator]().next(), { code: 'DATA_CORRUPT' })
})

test('closing while it opens leaves nothing behind: the folder is free at once', async (context) => {
  const dir = await folder(context)
  const first = embeddedBroker({ dir })
  const opening = first.open({ topics: [TOPIC] })
  await Promise.all([assert.rejects(opening, { code: 'CLOSED' }), first.close()])
  const second = await opened(context, { dir }, [TOPIC])
  await second.publish([{ topic: 'tasks', key: null, value: new Uint8Array(1), headers: [] }])
})
