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

  // More than fits the window at once.
  const lines = Array.from({ length: 20 }, (_, index) => `${'zeile '.repeat(8_000)}${index}\n`)
  const task = await client.submit('shout', lines.join(''))
  assert.equal((await task.result({ within: '20s' })).text(), lines.join('').toUpperCase())
  const events = await eventsOf(`${forebay.url}/v1/tasks/${task.id}/events`)
  const chunks = events.filter(({ event }) => event === 'chunk').map(({ data }) => data)
  assert.deepEqual(
    chunks.map(({ text }) => text),
    lines.map((line) => line.toUpperCase()),
  )
  assert.equal(chunks[0]?.contentType, 'text/plain; charset=utf-8')
  const progress = events.find(({ event }) => event === 'progress')?.data
  assert.match(String(progress?.message), /^line \d+ of 20$/)

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

interface TaskEvent {
  readonly event: string
  readonly data: Readonly<Record<string, unknown>>
}

/** All that a task has said up to its result, by the gateway's own stream. */
async function eventsOf(url: string): Promise<TaskEvent[]> {
  const stream = await fetch(url, { headers: { accept: 'text/event-stream' } })
  assert.equal(stream.status, 200)
  const blocks = (await stream.text()).split('\n\n').filter((block) => block.includes('event: '))
  return blocks.map((block) => {
    const fields = new Map(block.split('\n').map((line) => line.split(/: (.*)/s, 2) as [string, string]))
    return { event: fields.get('event')!, data: JSON.parse(fields.get('data')!) as TaskEvent['data'] }
  })
}
