import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createWorker } from '@forebay/sdk/worker'
import { startForebay } from '../forebay.ts'

const MIB = 1024 * 1024
const CONFIG = { http: { bodyMax: '8MiB' }, queues: { echo: { retry: { attempts: 10 } } } }

test('5 MiB go to a worker and come back, many in parallel, each its own bytes', async () => {
  await using forebay = await startForebay({ config: CONFIG })
  await using _worker = createWorker({
    server: forebay.grpc,
    concurrency: 4,
    queues: { echo: (task) => ({ body: task.bytes(), contentType: task.contentType }) },
  })
  await Promise.all(
    Array.from({ length: 10 }, async () => {
      const body = randomBytes(5 * MIB)
      const headers = { prefer: 'wait=60', 'content-type': 'application/x-large' }
      const answer = await fetch(`${forebay.url}/v1/queues/echo/tasks`, { method: 'POST', body, headers })
      assert.equal(answer.status, 200)
      assert.equal(answer.headers.get('content-type'), 'application/x-large')
      assert.equal(Buffer.compare(Buffer.from(await answer.arrayBuffer()), body), 0)
    }),
  )
})

test('kill -9 while large bodies are under way: whatever was acknowledged is answered with its own bytes', async () => {
  await using forebay = await startForebay({ config: CONFIG })
  await using _worker = createWorker({
    server: forebay.grpc,
    concurrency: 2,
    queues: {
      echo: async (task) => {
        await sleep(150)
        return { body: task.bytes(), contentType: task.contentType }
      },
    },
  })
  const acknowledged = new Map<string, string>()
  const handingIn = Array.from({ length: 16 }, async () => {
    const body = randomBytes(3 * MIB)
    const answer = await fetch(`${forebay.url}/v1/queues/echo/tasks`, { method: 'POST', body }).catch(() => null)
    if (answer?.status !== 202) return
    const { id } = (await answer.json()) as { id: string }
    acknowledged.set(id, digestOf(body))
  })
  while (acknowledged.size < 6) await sleep(10)
  await forebay.kill9()
  await Promise.allSettled(handingIn)
  await forebay.start()
  for (const [id, digest] of acknowledged) {
    const answer = await fetch(`${forebay.url}/v1/tasks/${id}/result`, { headers: { prefer: 'wait=60' } })
    assert.equal(answer.status, 200)
    assert.equal(digestOf(Buffer.from(await answer.arrayBuffer())), digest)
  }
})

function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
