import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createClient, TaskFailedError } from '@forebay/sdk/client'
import { startForebay } from '../../e2e/forebay.ts'
import { startProcess } from '../../scripts/rig/process.ts'
import { hasPython, pythonWorker } from './prepare.ts'

const skip = (await hasPython()) ? false : 'python3 with venv is not on this machine'

test('a worker in Python serves a real gateway, through its restart, and drains on SIGTERM', { skip }, async () => {
  await using forebay = await startForebay({ config: { queues: { shout: {} } } })
  await using worker = startProcess({ name: 'python worker', ...(await pythonWorker(forebay.grpc, 'shout')) })
  await worker.line(/connected/)
  const client = createClient({ url: forebay.url })

  const texts = Array.from({ length: 200 }, (_, index) => `grüße ${index}`)
  const results = await Promise.all(texts.map((text) => client.call('shout', text, { within: '20s' })))
  assert.deepEqual(
    results.map((result) => result.text()),
    texts.map((text) => text.toUpperCase()),
  )
  assert.equal(results[0]?.contentType, 'text/plain; charset=utf-8')

  const refused = await client.call('shout', new Uint8Array([0xff])).catch((thrown: unknown) => thrown)
  assert.ok(refused instanceof TaskFailedError, String(refused))
  assert.equal(refused.state, 'failed')
  assert.match(refused.detail, /not UTF-8/)

  await forebay.stop()
  await forebay.start()
  assert.equal((await client.call('shout', 'again', { within: '20s' })).text(), 'AGAIN')

  const { code } = await worker.stop()
  assert.equal(code, 0, worker.output())
  assert.match(worker.output(), /stopped/)
})
