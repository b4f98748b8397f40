import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { systemRandom } from '@forebay/broker'
import { ForebayError } from '@forebay/protocol'
import { pino } from 'pino'
import type { ReadTask } from '../src/accept/read-task.ts'
import type { WebhookOptions } from '../src/options.ts'
import type { CallbackView } from '../src/store/callbacks.ts'
import { embeddedStore } from '../src/store/embedded/embedded.ts'
import { createMetrics } from '../src/telemetry.ts'
import { RESULTS_TOPIC } from '../src/topics.ts'
import { createDeliverer } from '../src/webhooks/deliverer.ts'
import type { Send, WebhookCall } from '../src/webhooks/send.ts'
import { newWebhookSecret } from '../src/webhooks/signature.ts'
import { SkipClock } from './support/skip-clock.ts'

/** Deliverers as gateways have them, on one real store; the test answers for the network and for the reading of tasks. */

const MAX_LEASE_MS = 60_000
const ended = new AbortController()
ended.abort()

test('of two gateways on one store one makes each call', async (t) => {
  const rig = await open(t)
  const called: string[] = []
  const send: Send = async ({ headers }) => {
    called.push(headers['webhook-id']!)
    return { kind: 'answered', status: 204, retryAfter: undefined }
  }
  await rig.register(200)
  await rig.end(200)
  for (const taker of ['one', 'two']) rig.deliverer({ taker, send }).start()
  await rig.until((rows) => rows.every(({ state }) => state === 'delivered'))
  assert.deepEqual([called.length, new Set(called).size], [200, 200])
})

test('the end of a new life is another call: who drops what it has had by its id hears it too', async (t) => {
  const rig = await open(t)
  let generation = 0
  const called: string[] = []
  const send: Send = async ({ headers }) => {
    called.push(headers['webhook-id']!)
    return { kind: 'answered', status: 204, retryAfter: undefined }
  }
  const readTask: ReadTask = (taskId) => rig.read('succeeded', rig.clock.wallMs(), taskId, generation)
  await rig.register(1)
  await rig.end(1)
  const deliverer = rig.deliverer({ send, readTask })
  deliverer.start()
  const [row] = await rig.until((rows) => rows.every(({ state }) => state === 'delivered'))
  generation = 1
  await rig.end(1, generation)
  rig.clock.skip(MAX_LEASE_MS)
  await rig.until(() => called.length === 2)
  assert.deepEqual(called, [row!.id, `${row!.id}.1`])
})

test('what a gateway was doing when it was cut off another does when the lease is over', async (t) => {
  const rig = await open(t)
  await rig.register(3)
  await rig.end(3)
  const hanging = Promise.withResolvers<void>()
  let held = 0
  const one = rig.deliverer({
    taker: 'one',
    send: (_call, signal) => {
      held++
      if (held === 3) hanging.resolve()
      return new Promise((resolve) => signal.addEventListener('abort', () => resolve({ kind: 'cut' })))
    },
  })
  one.start()
  await hanging.promise
  await one.stop(ended.signal)
  await one.stop(ended.signal)
  const calls: WebhookCall[] = []
  const send: Send = async (call) => {
    calls.push(call)
    return { kind: 'answered', status: 200, retryAfter: undefined }
  }
  rig.deliverer({ taker: 'two', send }).start()
  assert.equal(calls.length, 0)
  rig.clock.skip(MAX_LEASE_MS)
  const rows = await rig.until((all) => all.every(({ state }) => state === 'delivered'))
  assert.deepEqual(
    rows.map(({ tries }) => tries),
    [1, 1, 1],
  )
})

test('where it cannot be said how a task ended no call is made and no try is counted; it is looked at again', async (t) => {
  const rig = await open(t)
  await rig.register(1)
  await rig.end(1)
  const answers: (() => ReturnType<ReadTask>)[] = [
    () => Promise.reject(new ForebayError('STORE_BEHIND', 'later')),
    () => rig.read('pending', null),
    () => Promise.reject(new Error('broken')),
    () => rig.read('succeeded', rig.clock.wallMs()),
  ]
  let asked = 0
  const looked = Array.from({ length: 4 }, () => Promise.withResolvers<void>())
  const readTask: ReadTask = () => {
    const answer = answers[asked]!
    looked[asked++]!.resolve()
    return answer()
  }
  let sent = 0
  const send: Send = async () => {
    sent++
    return { kind: 'answered', status: 204, retryAfter: undefined }
  }
  rig.deliverer({ readTask, send }).start()
  for (const one of looked) {
    await one.promise
    rig.clock.skip(MAX_LEASE_MS)
  }
  const [row] = await rig.until(([first]) => first!.state === 'delivered')
  assert.deepEqual([row!.tries, row!.attempts.length, sent], [1, 1, 1])
})

test('when the result is gone the callback is given up, and the log says why', async (t) => {
  const rig = await open(t)
  await rig.register(1)
  await rig.end(1)
  const readTask: ReadTask = () => Promise.reject(new ForebayError('TASK_GONE', 'gone'))
  rig.deliverer({ readTask, send: () => assert.fail('nothing is to be sent') }).start()
  const [row] = await rig.until(([first]) => first!.state === 'given-up')
  assert.equal(row!.attempts[0]!.detail, 'The result of the task is not kept any more.')
})

test('what may not be called any more is not called', async (t) => {
  const rig = await open(t)
  await rig.register(1)
  await rig.end(1)
  const send: Send = () => assert.fail('nothing is to be sent')
  rig.deliverer({ send, options: { ...OPTIONS, ports: new Set([8443]), waitsMs: [] } }).start()
  const [row] = await rig.until(([first]) => first!.state === 'given-up')
  assert.match(row!.attempts[0]!.detail!, /port 443; allowed are 8443/)
})

test('the whole schedule is gone through, at its times, and then no more', async (t) => {
  const rig = await open(t)
  await rig.register(1)
  await rig.end(1)
  const atMs: number[] = []
  let called = Promise.withResolvers<void>()
  const send: Send = async () => {
    atMs.push(rig.clock.wallMs())
    called.resolve()
    return { kind: 'answered', status: 500, retryAfter: undefined }
  }
  const waitsMs = [5_000, 300_000, 1_800_000, 7_200_000]
  rig.deliverer({ send, options: { ...OPTIONS, waitsMs } }).start()
  for (const [index, waitMs] of [...waitsMs.entries(), [waitsMs.length, 0] as const]) {
    await called.promise
    called = Promise.withResolvers()
    const tries = index + 1
    await rig.until(([row]) => row!.tries === tries)
    rig.clock.skip(waitMs * 1.11)
  }
  const [row] = await rig.until(([first]) => first!.state === 'given-up')
  assert.equal(row!.tries, 5)
  for (const [index, waitMs] of waitsMs.entries()) {
    const waited = atMs[index + 1]! - atMs[index]!
    assert.ok(waited > waitMs * 0.89 && waited < waitMs * 1.12 + 10_000, `${waited} for ${waitMs}`)
  }
})

const OPTIONS: WebhookOptions = {
  secrets: [newWebhookSecret(systemRandom)],
  principals: new Map(),
  ports: new Set([443]),
  allow: [],
  ca: null,
  dns: [],
  timeoutMs: 1_000,
  waitsMs: [],
  concurrency: 16,
  perHost: 16,
}

async function open(t: TestContext) {
  const dir = mkdtempSync(join(tmpdir(), 'forebay-deliverer-'))
  const clock = new SkipClock()
  const store = embeddedStore({ dir, retentionMs: 30 * 86_400_000, clock })
  await store.open()
  const started: ReturnType<typeof createDeliverer>[] = []
  t.after(async () => {
    for (const one of started) await one.stop(ended.signal)
    await store.close()
    rmSync(dir, { recursive: true })
  })
  const read = async (state: 'succeeded' | 'pending', finishedAtMs: number | null, taskId = 't0', generation = 0) => {
    const view = { taskId, queue: 'q', owner: 'carl', attempts: 1, generation, finishedAtMs, fault: null, state }
    const id = { id: taskId, queue: 'q', lane: 0, acceptedAtMs: 0, deadlineAtMs: 1 }
    return { id, view: { ...view, payload: Buffer.from('x'), contentType: 'text/plain' } }
  }
  return {
    clock,
    read,
    async register(count: number): Promise<void> {
      for (let index = 0; index < count; index++) {
        const about = { taskId: `t${index}`, owner: 'carl', queue: 'q', host: 'hooks.example.com:443' }
        const keepUntilMs = clock.wallMs() + 30 * 86_400_000
        const id = `cb_${String(index).padStart(26, '0')}`
        await store.callbacks!.register({ ...about, id, url: `https://hooks.example.com/${index}`, keepUntilMs })
      }
    },
    async end(count: number, generation = 0): Promise<void> {
      const from = generation * count
      const entries = Array.from({ length: count }, (_, index) => {
        const about = { taskId: `t${index}`, queue: 'q', owner: 'carl', attempts: 1, generation }
        const end = { state: 'succeeded', payload: Buffer.from('x'), contentType: 'text/plain' } as const
        return {
          kind: 'result',
          offset: from + index,
          result: { ...about, finishedAtMs: clock.wallMs(), end },
        } as const
      })
      await store.apply({
        topic: RESULTS_TOPIC,
        partition: 0,
        from: from === 0 ? null : from,
        next: from + count,
        entries,
      })
    },
    deliverer(given: { taker?: string; send: Send; readTask?: ReadTask; options?: WebhookOptions }) {
      const { taker = 'one', send, options = OPTIONS } = given
      const readTask: ReadTask = given.readTask ?? ((taskId) => read('succeeded', clock.wallMs(), taskId))
      const telemetry = { log: pino({ level: 'silent' }), metrics: createMetrics() }
      const callbacks = store.callbacks!
      const one = createDeliverer({ callbacks, options, readTask, send, taker, clock, random: systemRandom, telemetry })
      started.push(one)
      return one
    },
    async until(holds: (rows: readonly CallbackView[]) => boolean): Promise<readonly CallbackView[]> {
      for (;;) {
        const rows = await store.callbacks!.list({ countMax: 1_000 })
        if (holds(rows)) return rows
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    },
  }
}
