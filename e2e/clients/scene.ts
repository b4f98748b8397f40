import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { type Rig, startProcess } from '../../scripts/rig/process.ts'
import { startForebay } from '../forebay.ts'

/** A gateway with a worker, for gRPC clients in other languages: what each of them does in its own words, and says so. */

export const PROTO_FOLDER = fileURLToPath(new URL('../../packages/protocol/proto', import.meta.url))
export const TASK_PROTO = 'forebay/task/v1/task.proto'

/** A client prints `ok STEP` for each, in this order. */
const STEPS = [
  'submit and get',
  'submit and wait',
  'a deadline that is too short',
  'a task that ends badly',
  'details of errors',
  'watch and resume',
  'submit stream',
  'cancel',
] as const

export interface Scene extends AsyncDisposable {
  /** HOST:PORT of the gRPC door. */
  readonly target: string
  readonly key: string
}

export async function openScene(): Promise<Scene> {
  const key = 'interop-key'
  const forebay = await startForebay({
    config: {
      auth: { keys: [{ principal: 'interop', sha256: hash('sha256', key) }] },
      queues: {
        shout: { schema: { type: 'object', properties: { say: { type: 'string' } }, required: ['say'] } },
        story: {},
        slow: {},
        flaky: { retry: { attempts: 1 } },
      },
    },
  })
  const worker = startProcess({
    name: 'worker for clients',
    command: process.execPath,
    args: [fileURLToPath(new URL('worker.ts', import.meta.url)), forebay.grpc],
  })
  await worker.line(/worker started/)
  return {
    target: forebay.grpc,
    key,
    async [Symbol.asyncDispose]() {
      await worker.stop()
      await forebay[Symbol.asyncDispose]()
    },
  }
}

/** Waits for a client to end, and holds it to all the steps (and to those that only it takes). */
export async function passes(client: Rig, own: readonly string[] = []): Promise<void> {
  const { code } = await client.exited
  assert.equal(code, 0, client.output())
  const steps = [...client.output().matchAll(/^ok (.+)$/gm)].map(([, step]) => step)
  assert.deepEqual(steps, [...STEPS, ...own])
}
